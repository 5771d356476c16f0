// SPDX-License-Identifier: Apache-2.0
//
// sys/mounts.h - mounting by path and by descriptor.
//
// The functions that take descriptors exist for trees that somebody hostile may have written: a
// descriptor cannot be swapped for a symbolic link between looking and mounting. They need /proc.
// (Not named mount.h, which is the C library's <sys/mount.h>.) Nothing here logs.
// Basis: mount(2), open_tree(2), move_mount(2), mount_setattr(2); Linux 5.12 or later.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/mount_options.h"

namespace kata::sys {

// mount(2). The error names source, target and type.
Result<void> Mount(const std::string& source, const std::string& target, const std::string& type,
                   unsigned long flags, const std::string& data = {});
// A new file system with `options`; its propagation words are applied afterwards.
Result<void> Mount(const std::string& source, const std::string& target, const std::string& type,
                   const MountOptions& options);
// `source` at `target`, with everything mounted below it where `options` say "rbind".
// Attributes such as read-only are in force before the mount can be seen.
Result<void> BindMount(const std::string& source, const std::string& target,
                       const MountOptions& options);
// A detached mount as source, such as CloneMount gives.
Result<void> BindMount(UniqueFd tree, const std::string& target, const MountOptions& options);
// umount2(2). A target that is not a mount point is success.
Result<void> Unmount(const std::string& target, int flags);
// Changes how mounts at `target` propagate: MS_PRIVATE and the like, with or without MS_REC.
Result<void> SetPropagation(const std::string& target, unsigned long flag);

// A detached copy of the mount that `path` is on, seen from `path` on; `path` relative to `dir_fd`,
// empty for `dir_fd` itself. Closing the descriptor drops the copy unless it was attached.
Result<UniqueFd> CloneMount(int dir_fd, const std::string& path, bool recursive);
// Puts a detached mount over the file or directory behind `target_fd`. `mount_fd` stays open and
// means the root of the attached mount.
Result<void> AttachMount(int mount_fd, int target_fd);
// The attributes and the propagation of `options` for the mount whose root is `mount_fd`.
Result<void> SetMountOptions(int mount_fd, const MountOptions& options);
Result<void> SetMountReadOnly(int mount_fd, bool recursive = false);
Result<void> SetMountWritable(int mount_fd);
Result<void> SetMountPropagation(int mount_fd, unsigned long flag);
// Shows the ids of the files of a detached mount as a user namespace maps them: an id `inside` of
// it on the disk is the one `outside` in the mount; all others are nobody's.
//
// Errors  kUnimplemented  the file system cannot have its ids mapped
Result<void> MapMountIds(int mount_fd, int user_namespace_fd, bool recursive);

// Runs `work` in the mount namespace behind the descriptor, on a thread made for it and thrown
// away; the caller's thread stays where it is. Descriptors that `work` opens are good outside, too.
// Errors  as setns(2), else what `work` returns
Result<void> RunInMountNamespace(int namespace_fd, std::move_only_function<Result<void>()> work);

// Puts the tree at "/" over itself and enters it. For a process whose root is the initial ramfs,
// which pivot_root(2) refuses to replace; does nothing for any other root. Call before anything is
// mounted: earlier mounts would stay reachable underneath.
Result<void> MakeRootPivotable();

// "/proc/self/fd/<fd>": a descriptor where a path is wanted.
std::string DescriptorPath(int fd);

// One line of /proc/<pid>/mountinfo.
struct MountInfo {
  int id = 0;
  int parent_id = 0;
  dev_t device = 0;
  std::string root;         // the directory of the file system that is seen
  std::string mount_point;  // as seen from the process's root, unescaped
  std::string options;      // of the mount
  std::string type;
  std::string source;
  std::string super_options;  // of the file system, escaped
  std::string propagation;    // "shared:1 master:2", or empty
};

// The kernel writes space, tab, newline, backslash and, in options, comma and "=" as three octal
// digits.
std::string UnescapeMountInfo(std::string_view text);
// Lines that are not understood are left out.
std::vector<MountInfo> ParseMountInfo(std::string_view text);
Result<std::vector<MountInfo>> ReadMountInfo(const std::string& path = "/proc/self/mountinfo");
Result<bool> IsMountPoint(const std::string& path);

}  // namespace kata::sys
