// SPDX-License-Identifier: Apache-2.0
//
// host/machine/host_cgroup.h - the control group of a sandbox on the host.
//
// The shim moves itself into the cgroup that the specification of the sandbox's first container
// names, in every hierarchy of the host, before it starts virtiofsd and the VMM: what engines and
// people read there is what the whole virtual machine uses. Limits are not put on it: those of the
// containers hold in the guest, and the machine needs memory beside theirs.
// Basis: OCI runtime-spec config-linux.md "Cgroups Path"; runc's reading of it.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::sandbox {

// The cgroup that `cgroupsPath` of a specification means, absolute in its hierarchy; empty where it
// names none. systemd's form, "slice:prefix:name", is the path that systemd would give the scope.
//
// Errors  kInvalidArgument  it has ".." components, or three parts that name no slice
Result<std::string> HostCgroupPath(std::string_view cgroups_path);

class HostCgroup {
 public:
  // Looks at the host; makes nothing. `path` as HostCgroupPath gives it.
  // Errors  kFailedPrecondition  it is frozen: who enters it would never return
  static Result<HostCgroup> Plan(const std::string& path);

  // The directories that Enter() will make, for the record. What others have made is not ours to
  // remove.
  const std::vector<std::string>& ours() const { return ours_; }

  // The directories of the cgroups that the process was in.
  std::vector<std::string> before() const;

  // Makes the cgroup and moves the calling process and `others` into it. Of those, what has ended
  // is left out.
  Result<void> Enter(const std::vector<pid_t>& others = {});
  // Moves it back to where it was, so that the directories can be removed. Does nothing before
  // Enter().
  void Leave();

 private:
  struct Place {
    std::string before;     // where the process was
    std::string directory;  // of the cgroup
    std::string top;        // of the hierarchy
  };

  std::string path_;
  std::vector<Place> places_;
  std::vector<std::string> ours_;
  bool entered_ = false;
};

}  // namespace kata::sandbox
