// SPDX-License-Identifier: Apache-2.0
//
// host/machine/cgroup_move.h - a machine's way into its control group on the host, and back.
#pragma once

#include <sys/types.h>

#include <future>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/machine/host_cgroup.h"
#include "host/machine/record_keeper.h"

namespace kata::sandbox {

class CgroupMove {
 public:
  struct Goal {
    std::string path;               // as HostCgroupPath gives it, or empty:
    std::vector<std::string> home;  // these directories, or none: it stays
  };

  // Moves the calling process, so that what it starts from here on is there from its beginning, and
  // `others`, which run already; those take a while, and are moved meanwhile. What cannot be had is
  // logged: the machine runs where the shim was started.
  // Errors  kFailedPrecondition  as HostCgroup::Plan
  static Result<std::shared_ptr<CgroupMove>> Begin(const Goal& goal, std::vector<pid_t> others,
                                                   RecordKeeper& record);
  CgroupMove(const CgroupMove&) = delete;
  CgroupMove& operator=(const CgroupMove&) = delete;

  // Returns when all have been moved. From any thread.
  void Finish() const;
  // After Finish(): moves this process back, so that the directories can be removed. Once.
  void Leave();

  // The directories of the cgroups that the process was in; none where no path was asked for.
  std::vector<std::string> before() const;

 private:
  CgroupMove() = default;
  Result<void> Enter(const std::vector<pid_t>& others);

  std::vector<std::string> home_;
  std::optional<HostCgroup> cgroup_;
  std::shared_future<void> moving_;  // last: it ends before what it uses
};

}  // namespace kata::sandbox
