// SPDX-License-Identifier: Apache-2.0
//
// sys/cgroups.h - control groups of the host, in whatever layout it has: version 1, version 2, or
// both at once. A cgroup here is a path such as "/kata/ab12" that is looked for in every hierarchy.
//
// Basis: cgroups(7); the kernel's cgroup-v1 and cgroup-v2 documents.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/mounts.h"

namespace kata::sys {

struct CgroupHierarchy {
  std::string mount_point;
  std::string root;  // the cgroup that is seen at the mount point: "/", or a container's own
  // Of version 1: as in /proc/<pid>/cgroup, such as "memory" or "name=systemd". Empty: version 2.
  std::vector<std::string> controllers;

  bool unified() const { return controllers.empty(); }
};

// Each hierarchy once, however often it is mounted.
std::vector<CgroupHierarchy> FindCgroupHierarchies(const std::vector<MountInfo>& mounts);
// Of this process's mounts, those that can be reached.
Result<std::vector<CgroupHierarchy>> ReadCgroupHierarchies();

// Where a process is: a directory a hierarchy, out of the text of /proc/<pid>/cgroup. Hierarchies
// that are not mounted, and cgroups outside of what a mount shows, are left out.
std::vector<std::string> CgroupDirsOf(std::span<const CgroupHierarchy> hierarchies,
                                      std::string_view proc_cgroup);
// Errors  kNotFound  no such process
Result<std::vector<std::string>> ReadCgroupDirs(pid_t pid);

// The directory of the cgroup `path` of the hierarchy, which need not exist.
std::string CgroupDir(const CgroupHierarchy& hierarchy, std::string_view path);

// Makes the cgroup with its parents, ready to take processes: cpuset has its parent's processors
// and nodes, and in version 2 the controllers that the parents can pass on are on.
Result<void> MakeCgroup(const CgroupHierarchy& hierarchy, std::string_view path);

// Whether processes that enter the cgroup at `directory` stop there: it is frozen, or a parent is.
bool IsFrozen(const std::string& directory);

// Moves the process, with its threads, into the cgroup at `directory`.
Result<void> JoinCgroup(const std::string& directory, pid_t pid);

}  // namespace kata::sys
