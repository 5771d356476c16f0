// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/cgroup/cgroup_dir.h - one container's cgroup, version 2.
//
// Nothing here waits and nothing here logs.
// Basis: cgroups(7), the kernel's cgroup-v2.rst.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/agent/cgroup/cgroup_plan.h"
#include "sys/fd.h"

namespace kata::guest {

class CgroupDir {
 public:
  // Makes the directory `path` below the hierarchy mounted at `root`, and offers every controller
  // of `root` along the way.
  //
  // Errors  kAlreadyExists  there is such a cgroup and it has processes
  static Result<CgroupDir> Create(const std::string& root, const std::string& path);

  CgroupDir(CgroupDir&&) = default;
  CgroupDir& operator=(CgroupDir&&) = default;

  const std::string& path() const { return path_; }
  // Of the directory, for CLONE_INTO_CGROUP.
  int fd() const { return fd_.get(); }

  // Passes over optional writes whose file is missing, or has nobody behind it.
  Result<void> Apply(const std::vector<CgroupWrite>& writes) const;
  // Asks only; Frozen() tells.
  Result<void> Freeze(bool on);
  Result<bool> Frozen() const;
  Result<bool> Populated() const;
  // SIGKILL to every process here and below.
  Result<void> Kill();
  // Processes here and below, in the caller's pid namespace, ascending.
  Result<std::vector<pid_t>> Pids() const;
  Result<uint64_t> OomKills() const;
  // The first half of "cpu.max", in microseconds; -1: no limit.
  Result<int64_t> CpuQuota() const;
  // "memory.current", in bytes.
  Result<uint64_t> MemoryInUse() const;
  // "memory.max", in bytes; -1: no limit.
  Result<int64_t> MemoryLimit() const;

  // Removes the cgroup, those that the container made below it, and parents that are empty then.
  // A missing cgroup is success.
  // Errors  kUnavailable  it still has processes, which have been sent SIGKILL now
  Result<void> Remove();

 private:
  CgroupDir(std::string root, std::string path, sys::UniqueFd fd)
      : root_(std::move(root)), path_(std::move(path)), fd_(std::move(fd)) {}

  std::string root_;
  std::string path_;
  sys::UniqueFd fd_;
};

// Moves the calling process from `cgroup`, where nobody else is, into a new one below it, and has
// the first offer its controllers to what is below: one that holds a process cannot.
Result<void> EnterCgroupBelow(const std::string& cgroup, const std::string& name);

}  // namespace kata::guest
