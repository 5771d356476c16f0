// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/root_view.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "sys/fd.h"
#include "sys/files.h"
#include "sys/mount_options.h"
#include "sys/mounts.h"
#include "sys/root_dir.h"

namespace kata::cli::oci {
namespace {

using ::kata::oci::Mount;
using ::kata::oci::Spec;

bool IsBelow(std::string_view path, std::string_view directory) {
  return path == directory ||
         (path.starts_with(directory) && path.substr(directory.size()).starts_with('/'));
}

// Whether the guest sees the same files as the host at this mount, as plan/guest_plan.cc decides
// it.
bool IsShared(const Mount& mount, const sys::MountOptions& options) {
  if (mount.type() != "bind" && !options.bind()) return false;
  if (sys::CleanPath(mount.destination()) == "/dev/shm") return false;
  if (IsBelow(mount.source(), "/proc") || IsBelow(mount.source(), "/sys") ||
      mount.source() == "/dev") {
    return false;
  }
  struct stat status{};
  if (::stat(mount.source().c_str(), &status) != 0) return false;
  return S_ISDIR(status.st_mode) || S_ISREG(status.st_mode);
}

Result<void> CheckOwnNamespace(const std::string& path) {
  struct stat theirs{};
  struct stat ours{};
  if (::stat(path.c_str(), &theirs) != 0) return FailErrno("stat", path);
  if (::stat("/proc/self/ns/mnt", &ours) != 0) return FailErrno("stat", "/proc/self/ns/mnt");
  if (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino) {
    return Fail(Code::kFailedPrecondition, "the stand-in has no mount namespace of its own");
  }
  return {};
}

class View {
 public:
  View(sys::RootDir root, int proc) : root_(std::move(root)), proc_(proc) {}

  Result<void> Add(const Mount& mount) {
    const sys::MountOptions options = sys::ParseMountOptions(mount.options());
    if (IsShared(mount, options)) return Share(mount, options);
    const bool is_new = mount.type() != "bind" && !options.bind();
    // Inside of what is hidden already, programs look for /dev/pts and the like.
    const auto target =
        is_new ? root_.MakeDirs(mount.destination()) : root_.Open(mount.destination(), O_PATH);
    if (!target) return Skip(target.error());
    if (mount.type() == "proc" && proc_ >= 0) {
      return sys::AttachMount(std::exchange(proc_, -1), target->get());
    }
    return Hide(target->get(), mount.destination());
  }

  // Everything that is the guest's is closed at the end: mount points below it have been made.
  Result<void> Close() {
    for (const sys::UniqueFd& hidden : hidden_) KATA_TRY(sys::SetMountReadOnly(hidden.get()));
    return {};
  }

 private:
  Result<void> Share(const Mount& mount, const sys::MountOptions& options) {
    const bool recursive = (options.flags & MS_REC) != 0;
    sys::UniqueFd copy = KATA_TRY(sys::CloneMount(AT_FDCWD, mount.source(), recursive));
    KATA_TRY(sys::SetMountPropagation(copy.get(), MS_SLAVE | MS_REC));
    if (options.read_only()) KATA_TRY(sys::SetMountReadOnly(copy.get()));
    struct stat status{};
    if (::fstat(copy.get(), &status) != 0) return FailErrno("stat", mount.source());
    const auto target = S_ISDIR(status.st_mode) ? root_.MakeDirs(mount.destination())
                                                : root_.MakeFile(mount.destination());
    // A root that cannot be written to, and that the guest has not covered either.
    if (!target) return Skip(target.error());
    return sys::AttachMount(copy.get(), target->get());
  }

  Result<void> Hide(int target, const std::string& destination) {
    struct stat status{};
    if (::fstat(target, &status) != 0) return FailErrno("stat", destination);
    if (!S_ISDIR(status.st_mode)) return {};
    // Descriptors are no paths in a namespace whose /proc shows another one's processes, hence
    // fsopen() and not mount().
    const sys::UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
    if (!context) return FailErrno("fsopen", "tmpfs");
    for (const auto& [key, value] : {std::pair("mode", "0555"), std::pair("size", "1m")}) {
      if (::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value, 0) != 0) {
        return FailErrno("fsconfig", key);
      }
    }
    if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
      return FailErrno("fsconfig", "tmpfs");
    }
    sys::UniqueFd empty(::fsmount(context.get(), FSMOUNT_CLOEXEC,
                                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
    if (!empty) return FailErrno("fsmount", "tmpfs");
    KATA_TRY(sys::AttachMount(empty.get(), target));
    hidden_.push_back(std::move(empty));
    return {};
  }

  static Result<void> Skip(const Error& error) {
    const bool missing = error.code() == Code::kNotFound || error.error_number() == EROFS ||
                         error.error_number() == ENOTDIR;
    return missing ? Result<void>() : std::unexpected(error);
  }

  sys::RootDir root_;
  int proc_;
  std::vector<sys::UniqueFd> hidden_;
};

Result<void> ShowHere(const Spec& spec, const std::string& rootfs, int proc) {
  // What the host unmounts later must not live on here, and nothing here reaches the host.
  KATA_TRY(sys::SetPropagation("/", MS_SLAVE | MS_REC));
  KATA_TRY(sys::BindMount(rootfs, rootfs, sys::ParseMountOptions(std::vector{"rbind"})));
  if (::chdir(rootfs.c_str()) != 0) return FailErrno("chdir", rootfs);
  sys::UniqueFd top = KATA_TRY(sys::Open(".", O_PATH | O_DIRECTORY));
  View view(sys::RootDir(std::move(top)), proc);
  for (const Mount& mount : spec.mounts()) {
    KATA_TRY_WITHIN(fmt::format("mount \"{}\"", mount.destination()), view.Add(mount));
  }
  KATA_TRY(view.Close());
  if (spec.root().readonly()) {
    const sys::UniqueFd root = KATA_TRY(sys::Open(".", O_PATH | O_DIRECTORY));
    KATA_TRY(sys::SetMountReadOnly(root.get()));
  }
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return FailErrno("pivot_root", rootfs);
  if (::umount2(".", MNT_DETACH) != 0) return FailErrno("umount", "the host's tree");
  return {};
}

}  // namespace

Result<void> ShowRootAt(pid_t process, const Spec& spec, const std::string& rootfs, int proc) {
  const std::string path = fmt::format("/proc/{}/ns/mnt", process);
  KATA_TRY(CheckOwnNamespace(path));
  const sys::UniqueFd target = KATA_TRY(sys::Open(path, O_RDONLY));
  KATA_TRY_WITHIN("files of the container", sys::RunInMountNamespace(target.get(), [&] {
                    return ShowHere(spec, rootfs, proc);
                  }));
  return {};
}

}  // namespace kata::cli::oci
