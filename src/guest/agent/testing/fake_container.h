// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/testing/fake_container.h - a container for tests of those who watch control groups.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "guest/agent/cgroup/cgroup_stats.h"
#include "guest/agent/container/container.h"
#include "sys/files.h"

namespace kata::guest {

// A container without processes, whose control group is a directory of files.
class FakeContainer : public Container {
 public:
  explicit FakeContainer(std::string path) : path_(std::move(path)) {}
  Result<PendingProcess> Exec(const oci::Process&, ProcessStdio) override { return Nothing(); }
  Result<void> Freeze(bool) override { return Nothing(); }
  Result<bool> Frozen() const override { return Nothing(); }
  Result<void> Update(const oci::LinuxResources&) const override { return Nothing(); }
  Result<agent::StatsContainerResponse> Stats() const override { return Nothing(); }
  Result<void> KillAll() override { return Nothing(); }
  Result<void> SignalAll(int) override { return Nothing(); }
  Result<std::vector<pid_t>> Pids() const override { return std::vector<pid_t>(); }
  const std::string& cgroup_path() const override { return path_; }
  Result<uint64_t> OomKills() const override {
    return FlatValue(KATA_TRY(sys::ReadFile(path_ + "/memory.events")), "oom_kill");
  }
  Result<void> Destroy() override { return Nothing(); }

 private:
  static std::unexpected<Error> Nothing() { return Fail(Code::kUnimplemented, "a fake"); }
  const std::string path_;
};

}  // namespace kata::guest
