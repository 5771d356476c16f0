// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/rootfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "guest/agent/container/copy_up.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

// What lies at `destination`: a directory, or for a bind of something else a file.
Result<sys::UniqueFd> OpenDestination(const sys::RootDir& root, const PlannedMount& mount,
                                      bool directory) {
  // A link there would redirect where the container's own tools, and we, expect kernel files.
  const bool strict = mount.kind == PlannedMount::Kind::kKernel || mount.destination == "/dev" ||
                      mount.destination == "/proc" || mount.destination == "/sys";
  if (strict) {
    auto place = root.OpenStrict(mount.destination, O_PATH | O_DIRECTORY);
    if (!place &&
        (place.error().error_number() == ELOOP || place.error().error_number() == ENOTDIR)) {
      return Fail(
          Code::kInvalidArgument,
          fmt::format(
              "mount on \"{}\": must be mounted on ordinary directory, not on a symbolic link",
              mount.destination));
    }
    if (place || place.error().error_number() != ENOENT) return place;
  }
  return directory ? root.MakeDirs(mount.destination) : root.MakeFile(mount.destination);
}

Result<void> CheckNotInProc(const sys::RootDir& root, const PlannedMount& mount, int place) {
  struct statfs status{};
  if (::fstatfs(place, &status) != 0) return FailErrno("statfs", mount.destination);
  const std::string name = KATA_TRY(root.NameOf(place));
  const bool in_proc = status.f_type == PROC_SUPER_MAGIC || name.starts_with("/proc/");
  if (name != "/proc" && (!in_proc || MayCoverInProc(name))) return {};
  return Fail(Code::kInvalidArgument,
              fmt::format("\"{}\" cannot be mounted because it is inside /proc", name));
}

Result<void> BindOne(const sys::RootDir& root, const PlannedMount& mount) {
  const bool recursive = (mount.options.flags & MS_REC) != 0;
  const sys::UniqueFd tree = KATA_TRY(sys::CloneMount(AT_FDCWD, mount.source, recursive));
  struct stat status{};
  if (::fstat(tree.get(), &status) != 0) return FailErrno("stat", mount.source);
  const sys::UniqueFd place = KATA_TRY(OpenDestination(root, mount, S_ISDIR(status.st_mode)));
  if (mount.destination == "/proc") {
    struct statfs source{};
    if (::fstatfs(tree.get(), &source) != 0) return FailErrno("statfs", mount.source);
    if (source.f_type != PROC_SUPER_MAGIC) {
      return Fail(Code::kInvalidArgument,
                  "\"/proc\" cannot be mounted because it is not of type proc");
    }
  } else {
    KATA_TRY(CheckNotInProc(root, mount, place.get()));
  }
  sys::MountOptions attributes = mount.options;
  attributes.propagation.clear();
  KATA_TRY(sys::SetMountOptions(tree.get(), attributes));
  KATA_TRY(sys::AttachMount(tree.get(), place.get()));
  for (const unsigned long flag : mount.options.propagation) {
    KATA_TRY(sys::SetMountPropagation(tree.get(), flag));
  }
  return {};
}

// The root of what was just mounted over `destination`.
Result<sys::UniqueFd> OpenMounted(const sys::RootDir& root, const std::string& destination) {
  return root.Open(destination, O_PATH | O_DIRECTORY);
}

// Options of tmpfs, devpts and the like name ids as the container counts them.
std::string IdsOutside(const std::string& data, const UserNamespace& user) {
  std::string result;
  for (size_t begin = 0; begin < data.size();) {
    const size_t end = std::min(data.find(',', begin), data.size());
    std::string word = data.substr(begin, end - begin);
    begin = end + 1;
    const bool uid = word.starts_with("uid=");
    uint32_t id = 0;
    const char* const last = word.data() + word.size();
    if ((uid || word.starts_with("gid=")) &&
        std::from_chars(word.data() + 4, last, id).ptr == last) {
      word =
          word.substr(0, 4) + fmt::to_string(uid ? user.uids.Outside(id) : user.gids.Outside(id));
    }
    if (!result.empty()) result += ',';
    result += word;
  }
  return result;
}

Result<void> MountOne(const sys::RootDir& root, const PlannedMount& mount,
                      const UserNamespace& user) {
  const bool tmpfs = mount.kind == PlannedMount::Kind::kTmpfs;
  const bool covers = tmpfs && root.Open(mount.destination, O_PATH | O_DIRECTORY).has_value();
  const sys::UniqueFd place = KATA_TRY(OpenDestination(root, mount, /*directory=*/true));
  if (mount.kind != PlannedMount::Kind::kKernel) {
    KATA_TRY(CheckNotInProc(root, mount, place.get()));
  }
  unsigned long flags = mount.options.flags & ~static_cast<unsigned long>(MS_REC);
  std::string data = user.valid() ? IdsOutside(mount.options.data, user) : mount.options.data;
  if (covers) {
    struct stat status{};
    if (::fstat(place.get(), &status) != 0) return FailErrno("stat", mount.destination);
    // A later "mode=" wins, so this one counts only where the spec gives none.
    data = fmt::format("mode={:04o}{}{}", status.st_mode & 07777, data.empty() ? "" : ",", data);
  }
  if (tmpfs) {
    // Filled first, closed afterwards.
    if (mount.destination == "/dev" || mount.options.copy_up) {
      flags &= ~static_cast<unsigned long>(MS_RDONLY);
    }
  }
  const std::string target = sys::DescriptorPath(place.get());
  if (::mount(mount.source.c_str(), target.c_str(), mount.type.c_str(), flags,
              data.empty() ? nullptr : data.c_str()) != 0) {
    return FailErrno(fmt::format("mount {} \"{}\" on", mount.type, mount.source),
                     mount.destination);
  }
  const bool more = mount.options.copy_up || !mount.options.propagation.empty() ||
                    mount.options.recursive_set != 0 || mount.options.recursive_clear != 0;
  if (!more) return {};
  const sys::UniqueFd mounted = KATA_TRY(OpenMounted(root, mount.destination));
  if (mount.options.copy_up) {
    KATA_TRY_WITHIN("tmpcopyup", CopyUp(place.get(), mounted.get()));
  }
  sys::MountOptions rest;
  rest.propagation = mount.options.propagation;
  rest.recursive_set = mount.options.recursive_set;
  rest.recursive_clear = mount.options.recursive_clear;
  if (mount.options.read_only() && mount.destination != "/dev") rest.flags = MS_RDONLY;
  return sys::SetMountOptions(mounted.get(), rest);
}

// Paths of one container are covered by one empty file system and by the guest's own null device:
// the one in the container could have been made by the image. Named twice, a path is covered once.
class Mask {
 public:
  explicit Mask(const sys::RootDir& root) : root_(root) {}

  Result<void> Cover(const std::string& path) {
    const auto place = root_.Open(path, O_PATH);
    if (!place) {
      const int cause = place.error().error_number();
      if (cause == ENOENT || cause == ENOTDIR) return {};
      return std::unexpected(place.error());
    }
    struct stat status{};
    if (::fstat(place->get(), &status) != 0) return FailErrno("stat", path);
    return S_ISDIR(status.st_mode) ? CoverDirectory(path, *place, status)
                                   : CoverFile(*place, status);
  }

 private:
  Result<void> CoverDirectory(const std::string& path, const sys::UniqueFd& place,
                              const struct stat& status) {
    if (!empty_) {
      if (::mount("tmpfs", sys::DescriptorPath(place.get()).c_str(), "tmpfs", MS_RDONLY,
                  "nr_inodes=1,mode=0755") != 0) {
        return FailErrno("mount tmpfs on", path);
      }
      empty_ = KATA_TRY(OpenMounted(root_, path));
      struct stat own{};
      if (::fstat(empty_.get(), &own) != 0) return FailErrno("stat", path);
      empty_device_ = own.st_dev;
      return {};
    }
    if (status.st_dev == empty_device_) return {};
    const sys::UniqueFd copy = KATA_TRY(sys::CloneMount(empty_.get(), "", false));
    return sys::AttachMount(copy.get(), place.get());
  }

  Result<void> CoverFile(const sys::UniqueFd& place, const struct stat& status) {
    struct stat own{};
    if (::stat("/dev/null", &own) != 0) return FailErrno("stat", "/dev/null");
    if (status.st_dev == own.st_dev && status.st_ino == own.st_ino) return {};
    const sys::UniqueFd null = KATA_TRY(sys::CloneMount(AT_FDCWD, "/dev/null", false));
    return sys::AttachMount(null.get(), place.get());
  }

  const sys::RootDir& root_;
  sys::UniqueFd empty_;
  dev_t empty_device_ = 0;
};

Result<void> MakeReadOnly(const sys::RootDir& root, const std::string& path) {
  const auto place = root.Open(path, O_PATH);
  if (!place) {
    const int cause = place.error().error_number();
    if (cause == ENOENT || cause == ENOTDIR) return {};
    return std::unexpected(place.error());
  }
  const sys::UniqueFd tree = KATA_TRY(sys::CloneMount(place->get(), "", true));
  KATA_TRY(sys::SetMountReadOnly(tree.get()));
  return sys::AttachMount(tree.get(), place->get());
}

}  // namespace

Result<sys::RootDir> OpenRoot(const std::string& path, const std::string& propagation) {
  unsigned long flag = MS_SLAVE | MS_REC;
  if (!propagation.empty()) {
    flag = sys::PropagationFlag(propagation);
    if (flag == 0) {
      return Fail(Code::kInvalidArgument, fmt::format("rootfsPropagation \"{}\"", propagation));
    }
  }
  // pivot_root refuses shared mounts, so what was asked for is set only in EnterRoot.
  if (flag & MS_SHARED) flag = MS_SLAVE | MS_REC;
  KATA_TRY(sys::SetPropagation("/", flag | MS_REC));
  sys::UniqueFd tree = KATA_TRY_WITHIN("root", sys::CloneMount(AT_FDCWD, path, true));
  const sys::UniqueFd place = KATA_TRY_WITHIN("root", sys::Open(path, O_PATH | O_DIRECTORY));
  KATA_TRY_WITHIN("root", sys::SetMountPropagation(tree.get(), MS_PRIVATE));
  KATA_TRY_WITHIN("root", sys::AttachMount(tree.get(), place.get()));
  return sys::RootDir(std::move(tree));
}

Result<void> ApplyMounts(const sys::RootDir& root, const std::vector<PlannedMount>& mounts,
                         const UserNamespace& user) {
  for (const PlannedMount& mount : mounts) {
    const bool bind = mount.kind == PlannedMount::Kind::kBind;
    auto done = bind ? BindOne(root, mount) : MountOne(root, mount, user);
    if (!done) {
      return std::unexpected(std::move(done).error().Within(
          fmt::format("mount \"{}\" to \"{}\"", mount.source, mount.destination)));
    }
  }
  return {};
}

Result<void> FinishDev(const sys::RootDir& root, const std::vector<PlannedMount>& mounts) {
  for (const PlannedMount& mount : mounts) {
    if (mount.kind != PlannedMount::Kind::kTmpfs || mount.destination != "/dev" ||
        !mount.options.read_only()) {
      continue;
    }
    const sys::UniqueFd dev = KATA_TRY(OpenMounted(root, "/dev"));
    KATA_TRY(sys::SetMountReadOnly(dev.get()));
  }
  return {};
}

Result<void> ProtectPaths(const sys::RootDir& root, const oci::Linux& linux_part) {
  for (const std::string& path : linux_part.readonly_paths()) {
    KATA_TRY_WITHIN(fmt::format("read-only path \"{}\"", path), MakeReadOnly(root, path));
  }
  Mask mask(root);
  for (const std::string& path : linux_part.masked_paths()) {
    KATA_TRY_WITHIN(fmt::format("masked path \"{}\"", path), mask.Cover(path));
  }
  return {};
}

Result<void> EnterRoot(const sys::RootDir& root, const std::string& propagation, bool read_only) {
  const sys::UniqueFd old_root = KATA_TRY(sys::Open("/", O_PATH | O_DIRECTORY));
  if (::fchdir(root.fd()) != 0) return FailErrno("chdir", "root");
  // Both names are the new root: the old one ends up on top of it, and no directory for it is
  // needed inside the image.
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return FailErrno("pivot_root");
  if (::fchdir(old_root.get()) != 0) return FailErrno("chdir", "old root");
  // Unmounting must not propagate to where the old tree came from.
  KATA_TRY(sys::SetPropagation(".", MS_SLAVE | MS_REC));
  if (::umount2(".", MNT_DETACH) != 0) return FailErrno("umount", "old root");
  if (::chdir("/") != 0) return FailErrno("chdir", "/");
  if (!propagation.empty()) {
    KATA_TRY(sys::SetPropagation("/", sys::PropagationFlag(propagation)));
  }
  if (read_only) {
    const sys::UniqueFd top = KATA_TRY(sys::Open("/", O_PATH | O_DIRECTORY));
    KATA_TRY(sys::SetMountReadOnly(top.get()));
  }
  return {};
}

}  // namespace kata::guest
