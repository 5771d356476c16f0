// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// As macros they would rename the accessors of oci::LinuxDevice.
#undef major
#undef minor

#include <algorithm>

#include <fmt/format.h>

#include "guest/agent/container/rootfs.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

struct Node {
  const char* path;
  unsigned major_number;
  unsigned minor_number;
};

constexpr Node kDefaultNodes[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

struct Link {
  const char* target;
  const char* path;
};

constexpr Link kLinks[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

Result<mode_t> TypeOf(const oci::LinuxDevice& device) {
  if (device.type() == "c" || device.type() == "u") return S_IFCHR;
  if (device.type() == "b") return S_IFBLK;
  if (device.type() == "p") return S_IFIFO;
  return Fail(Code::kInvalidArgument,
              fmt::format("device \"{}\": type \"{}\"", device.path(), device.type()));
}

// A node that is there already and is the same device is kept, as an image may bring its own.
Result<void> MakeNode(const sys::RootDir& root, const std::string& path, mode_t mode, dev_t device,
                      uid_t uid, gid_t gid) {
  const sys::RootDir::Place place = KATA_TRY(root.MakeParent(path));
  const char* const name = place.name.c_str();
  const int parent = place.parent.get();
  if (::mknodat(parent, name, mode, device) != 0 && errno != EEXIST) {
    return FailErrno("mknod", path);
  }
  // Looked up once: a root file system may be somebody else's, too.
  const sys::UniqueFd node(::openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (!node || ::fstat(node.get(), &status) != 0) return FailErrno("open", path);
  if ((status.st_mode & S_IFMT) != (mode & S_IFMT) || status.st_rdev != device) {
    return Fail(Code::kAlreadyExists,
                fmt::format("device \"{}\": something else is there already", path));
  }
  // One that was there.
  if ((status.st_mode & 07777) != (mode & 07777)) {
    KATA_TRY_WITHIN(path, sys::ChangeMode(node.get(), mode & 07777));
  }
  if (::fchownat(node.get(), "", uid, gid, AT_EMPTY_PATH) != 0) return FailErrno("chown", path);
  return {};
}

Result<void> MakeSpecDevice(const sys::RootDir& root, const oci::LinuxDevice& device,
                            const UserNamespace& user) {
  const mode_t type = KATA_TRY(TypeOf(device));
  if (!device.path().starts_with('/')) {
    return Fail(Code::kInvalidArgument, fmt::format("device \"{}\": not absolute", device.path()));
  }
  const bool numbered = type != S_IFIFO;
  if (numbered && (device.major() < 0 || device.major() > 0xfff || device.minor() < 0 ||
                   device.minor() > 0xfffff)) {
    return Fail(Code::kInvalidArgument, fmt::format("device \"{}\": numbers {}:{}", device.path(),
                                                    device.major(), device.minor()));
  }
  const dev_t number = numbered ? makedev(static_cast<unsigned>(device.major()),
                                          static_cast<unsigned>(device.minor()))
                                : 0;
  const mode_t permissions = device.file_mode() != 0 ? device.file_mode() & 07777 : 0666;
  return MakeNode(root, device.path(), type | permissions, number, user.uids.Outside(device.uid()),
                  user.gids.Outside(device.gid()));
}

}  // namespace

Result<void> MakeDevices(const sys::RootDir& root, const oci::Spec& spec,
                         const UserNamespace& user) {
  const mode_t old_mask = ::umask(0);
  const auto make = [&]() -> Result<void> {
    // The spec's own devices first: it may give a default node another mode.
    for (const oci::LinuxDevice& device : spec.linux().devices()) {
      KATA_TRY(MakeSpecDevice(root, device, user));
    }
    for (const Node& node : kDefaultNodes) {
      const bool given = std::ranges::any_of(spec.linux().devices(), [&](const auto& device) {
        return sys::CleanPath(device.path()) == node.path;
      });
      if (given) continue;
      KATA_TRY(MakeNode(root, node.path, S_IFCHR | 0666,
                        makedev(node.major_number, node.minor_number), user.uids.Outside(0),
                        user.gids.Outside(0)));
    }
    for (const Link& link : kLinks) {
      const sys::RootDir::Place place = KATA_TRY(root.MakeParent(link.path));
      if (::symlinkat(link.target, place.parent.get(), place.name.c_str()) != 0 &&
          errno != EEXIST) {
        return FailErrno("symlink", link.path);
      }
    }
    // Whatever the image has there, the container's own terminals are those of its devpts.
    const sys::RootDir::Place ptmx = KATA_TRY(root.MakeParent("/dev/ptmx"));
    if (::unlinkat(ptmx.parent.get(), "ptmx", 0) != 0 && errno != ENOENT) {
      return FailErrno("unlink", "/dev/ptmx");
    }
    if (::symlinkat("pts/ptmx", ptmx.parent.get(), "ptmx") != 0) {
      return FailErrno("symlink", "/dev/ptmx");
    }
    if (root.Open("/proc/kcore", O_PATH)) {
      const sys::RootDir::Place core = KATA_TRY(root.MakeParent("/dev/core"));
      if (::symlinkat("/proc/kcore", core.parent.get(), "core") != 0 && errno != EEXIST) {
        return FailErrno("symlink", "/dev/core");
      }
    }
    return {};
  };
  auto made = make();
  ::umask(old_mask);
  return made;
}

}  // namespace kata::guest
