// SPDX-License-Identifier: Apache-2.0
#include "host/storage/shared_volumes.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <tuple>

#include <fmt/format.h>

#include "base/log.h"
#include "host/storage/mount_points.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/process.h"

namespace kata::storage {
namespace {

// The guest applies these when it binds a volume into a container. What the host's file system must
// hear of stays, such as how access times are kept.
constexpr unsigned long kOfGuest = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

// What is mounted below a directory: where, and what.
using Below = std::multiset<std::tuple<std::string, dev_t, std::string>>;

Result<Below> MountsBelow(int directory) {
  std::error_code error;
  const std::string path =
      std::filesystem::read_symlink(fmt::format("/proc/thread-self/fd/{}", directory), error)
          .string() +
      "/";
  if (error) return Fail(Code::kUnavailable, error.message());
  Below below;
  for (sys::MountInfo& each : KATA_TRY(sys::ReadMountInfo("/proc/thread-self/mountinfo"))) {
    if (!each.mount_point.starts_with(path)) continue;
    below.emplace(each.mount_point.substr(path.size()), each.device, std::move(each.root));
  }
  return below;
}

Result<Below> MountsBelow(const std::string& path, int mount_namespace) {
  Below below;
  const auto look = [&]() -> Result<void> {
    const sys::UniqueFd directory = KATA_TRY(sys::Open(path, O_PATH));
    below = KATA_TRY(MountsBelow(directory.get()));
    return {};
  };
  KATA_TRY(mount_namespace < 0 ? look() : sys::RunInMountNamespace(mount_namespace, look));
  return below;
}

}  // namespace

Result<SharedVolumes::Identity> SharedVolumes::Identify(int tree, const Volume& volume,
                                                        const sys::MountOptions& options) {
  struct stat status{};
  struct statvfs of_mount{};
  if (::fstat(tree, &status) != 0 || ::fstatvfs(tree, &of_mount) != 0) {
    return FailErrno("mount source", volume.source);
  }
  Identity identity{.device = status.st_dev,
                    .inode = status.st_ino,
                    .directory = S_ISDIR(status.st_mode),
                    .read_only = (of_mount.f_flag & ST_RDONLY) != 0,
                    .flags = options.flags & ~kOfGuest,
                    .cleared = options.cleared & ~kOfGuest,
                    .recursive_set = options.recursive_set,
                    .recursive_clear = options.recursive_clear,
                    .propagation = options.propagation,
                    .ids = {}};
  if (volume.ids) {
    identity.ids = fmt::format("{}\n{}\n{}", volume.ids->uids.Text(), volume.ids->gids.Text(),
                               volume.ids->recursive);
  }
  return identity;
}

Result<std::string> SharedVolumes::Add(const std::string& container_id, const Volume& volume,
                                       int mount_namespace) {
  const sys::MountOptions options = sys::ParseMountOptions(volume.options);
  sys::UniqueFd tree = KATA_TRY(CloneVolume(volume, mount_namespace));
  Identity identity = KATA_TRY(Identify(tree.get(), volume, options));
  Mounted* mounted = KATA_TRY(Find(identity, volume, options.read_only(), mount_namespace));
  if (mounted == nullptr) {
    mounted = KATA_TRY(Mount(std::move(tree), volume, options, std::move(identity)));
  }
  mounted->containers.insert(container_id);
  return mounted->name;
}

Result<SharedVolumes::Mounted*> SharedVolumes::Find(const Identity& identity, const Volume& volume,
                                                    bool read_only, int mount_namespace) {
  for (Mounted& each : mounted_) {
    if (each.identity != identity) continue;
    const bool recursive = (identity.flags & MS_REC) != 0;
    if (recursive && KATA_TRY(MountsBelow(volume.source, mount_namespace)) !=
                         KATA_TRY(MountsBelow(PathOf(each), -1))) {
      continue;
    }
    if (each.locked && !read_only) {
      if (auto unlocked = Unlock(each); !unlocked) {
        log::Warn("a volume that was read-only is another file system where it is not",
                  {{"source", volume.source}, {"reason", unlocked.error().message()}});
        continue;
      }
    }
    return &each;
  }
  return nullptr;
}

Result<SharedVolumes::Mounted*> SharedVolumes::Mount(sys::UniqueFd tree, const Volume& volume,
                                                     sys::MountOptions options, Identity identity) {
  Mounted mounted{.identity = std::move(identity),
                  .name = fmt::format("{}/{}-{}", kFolder, count_++, BaseName(volume.destination)),
                  .locked = options.read_only()};
  options.flags &= ~kOfGuest | MS_RDONLY;
  options.cleared &= ~kOfGuest;
  const std::string target = PathOf(mounted);
  KATA_TRY(sys::MakeDirs(fmt::format("{}/{}", mounts_, kFolder)));
  KATA_TRY(MakeMountPoint(target, mounted.identity.directory));
  if (auto bound = sys::BindMount(std::move(tree), target, options); !bound) {
    RemoveMountPoint(target);
    return std::unexpected(
        std::move(bound).error().Within(fmt::format("bind \"{}\"", volume.source)));
  }
  mounted.locked = mounted.locked && !mounted.identity.read_only;
  return &mounted_.emplace_back(std::move(mounted));
}

// Each namespace and each peer of a mount has attributes of its own.
Result<void> SharedVolumes::Unlock(Mounted& mounted) const {
  const auto unlock = [&mounted](const std::string& path) -> Result<void> {
    const sys::UniqueFd root = KATA_TRY(sys::Open(path, O_PATH | O_NOFOLLOW));
    struct stat status{};
    if (::fstat(root.get(), &status) != 0) return FailErrno("stat", path);
    if (status.st_dev != mounted.identity.device || status.st_ino != mounted.identity.inode) {
      return Fail(Code::kNotFound, fmt::format("\"{}\": is not there yet", path));
    }
    return sys::SetMountWritable(root.get());
  };
  if (server_ > 0) {
    // The server may have forked what serves; the youngest is in its last namespace.
    const pid_t server = sys::WithDescendants(server_).back();
    const sys::UniqueFd theirs =
        KATA_TRY(sys::Open(fmt::format("/proc/{}/ns/mnt", server), O_RDONLY));
    KATA_TRY(sys::RunInMountNamespace(theirs.get(), [&] { return unlock("/" + mounted.name); }));
  }
  KATA_TRY(unlock(fmt::format("{}/{}", served_, mounted.name)));
  KATA_TRY(unlock(PathOf(mounted)));
  mounted.locked = false;
  return {};
}

std::vector<std::string> SharedVolumes::RemoveContainer(const std::string& container_id) {
  std::vector<std::string> gone;
  for (auto each = mounted_.end(); each != mounted_.begin();) {
    --each;
    if (each->containers.erase(container_id) == 0 || !each->containers.empty()) continue;
    const std::string target = PathOf(*each);
    if (::umount2(target.c_str(), MNT_DETACH) != 0) log::Warn("unmount", {{"path", target}});
    RemoveMountPoint(target);
    gone.push_back(std::move(each->name));
    each = mounted_.erase(each);
  }
  return gone;
}

}  // namespace kata::storage
