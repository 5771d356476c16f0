// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <thread>
#include <utility>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

Result<void> SetAttributes(int mount_fd, mount_attr attributes, bool recursive) {
  const unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (::mount_setattr(mount_fd, "", flags, &attributes, sizeof attributes) != 0) {
    return FailErrno("mount_setattr");
  }
  return {};
}

}  // namespace

std::string DescriptorPath(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

Result<void> Mount(const std::string& source, const std::string& target, const std::string& type,
                   unsigned long flags, const std::string& data) {
  if (::mount(source.c_str(), target.c_str(), type.empty() ? nullptr : type.c_str(), flags,
              data.empty() ? nullptr : data.c_str()) != 0) {
    const int cause = errno;
    return std::unexpected(Error::FromErrno(
        fmt::format("mount {} \"{}\" on", type.empty() ? "-" : type, source), target, cause));
  }
  return {};
}

Result<void> Mount(const std::string& source, const std::string& target, const std::string& type,
                   const MountOptions& options) {
  KATA_TRY(Mount(source, target, type, options.flags, options.data));
  for (const unsigned long flag : options.propagation) KATA_TRY(SetPropagation(target, flag));
  return {};
}

Result<void> BindMount(const std::string& source, const std::string& target,
                       const MountOptions& options) {
  const bool recursive = (options.flags & MS_REC) != 0;
  const std::string what = fmt::format("bind \"{}\" on \"{}\"", source, target);
  UniqueFd tree = KATA_TRY_WITHIN(what, CloneMount(AT_FDCWD, source, recursive));
  KATA_TRY_WITHIN(what, BindMount(std::move(tree), target, options));
  return {};
}

Result<void> BindMount(UniqueFd tree, const std::string& target, const MountOptions& options) {
  const UniqueFd place = KATA_TRY(Open(target, O_PATH));
  MountOptions attributes = options;
  attributes.propagation.clear();
  KATA_TRY(SetMountOptions(tree.get(), attributes));
  KATA_TRY(AttachMount(tree.get(), place.get()));
  for (const unsigned long flag : options.propagation) {
    KATA_TRY(SetMountPropagation(tree.get(), flag));
  }
  return {};
}

Result<void> Unmount(const std::string& target, int flags) {
  // EINVAL also stands for bad flags, which would be our own mistake.
  if (::umount2(target.c_str(), flags) != 0 && errno != EINVAL) return FailErrno("umount", target);
  return {};
}

Result<void> SetPropagation(const std::string& target, unsigned long flag) {
  if (::mount("none", target.c_str(), nullptr, flag, nullptr) != 0) {
    return FailErrno("change propagation of", target);
  }
  return {};
}

Result<UniqueFd> CloneMount(int dir_fd, const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  if (recursive) flags |= AT_RECURSIVE;
  const int fd = ::open_tree(dir_fd, path.c_str(), flags);
  if (fd < 0) return FailErrno("open_tree", path);
  return UniqueFd(fd);
}

Result<void> AttachMount(int mount_fd, int target_fd) {
  if (::move_mount(mount_fd, "", target_fd, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return FailErrno("move_mount");
  }
  return {};
}

Result<void> SetMountOptions(int mount_fd, const MountOptions& options) {
  if (const MountAttributes wanted = AttributesOf(options); wanted.set != 0 || wanted.clear != 0) {
    KATA_TRY(SetAttributes(mount_fd, {.attr_set = wanted.set, .attr_clr = wanted.clear}, false));
  }
  if (options.recursive_set != 0 || options.recursive_clear != 0) {
    KATA_TRY(SetAttributes(
        mount_fd, {.attr_set = options.recursive_set, .attr_clr = options.recursive_clear}, true));
  }
  for (const unsigned long flag : options.propagation) {
    KATA_TRY(SetMountPropagation(mount_fd, flag));
  }
  return {};
}

Result<void> SetMountReadOnly(int mount_fd, bool recursive) {
  return SetAttributes(mount_fd, {.attr_set = MOUNT_ATTR_RDONLY}, recursive);
}

Result<void> SetMountWritable(int mount_fd) {
  return SetAttributes(mount_fd, {.attr_clr = MOUNT_ATTR_RDONLY}, false);
}

Result<void> MapMountIds(int mount_fd, int user_namespace_fd, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace_fd);
  auto mapped = SetAttributes(mount_fd, attributes, recursive);
  if (!mapped && mapped.error().error_number() == EINVAL) {
    return Fail(Code::kUnimplemented, "the file system cannot have its ids mapped");
  }
  return mapped;
}

Result<void> SetMountPropagation(int mount_fd, unsigned long flag) {
  return SetAttributes(mount_fd, {.propagation = flag & ~static_cast<unsigned long>(MS_REC)},
                       (flag & MS_REC) != 0);
}

Result<void> RunInMountNamespace(int namespace_fd, std::move_only_function<Result<void>()> work) {
  Result<void> result;
  std::thread([&] {
    // A thread that shares its working directory with others may not enter a mount namespace.
    if (::unshare(CLONE_FS) != 0) {
      result = FailErrno("unshare");
    } else if (::setns(namespace_fd, CLONE_NEWNS) != 0) {
      result = FailErrno("enter a mount namespace");
    } else {
      result = work();
    }
  }).join();
  return result;
}

Result<void> MakeRootPivotable() {
  struct statfs status{};
  if (::statfs("/", &status) != 0) return FailErrno("statfs", "/");
  if (status.f_type != RAMFS_MAGIC && status.f_type != TMPFS_MAGIC) return {};
  const UniqueFd tree = KATA_TRY(CloneMount(AT_FDCWD, "/", true));
  const UniqueFd root = KATA_TRY(Open("/", O_PATH | O_DIRECTORY));
  KATA_TRY(AttachMount(tree.get(), root.get()));
  if (::fchdir(tree.get()) != 0) return FailErrno("chdir", "/");
  if (::chroot(".") != 0) return FailErrno("chroot", "/");
  return {};
}

Result<bool> IsMountPoint(const std::string& path) {
  struct statx status{};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &status) != 0) {
    if (errno == ENOENT) return false;
    return FailErrno("statx", path);
  }
  return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

}  // namespace kata::sys
