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
#include "sys/file_handle.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/process.h"

namespace kata::storage {
namespace {

constexpr const char* kIdMapped = "idmapped";  // a word of mountinfo
// The guest applies these when it binds a volume into a container. What the host's file system must
// hear of stays, such as how access times are kept.
constexpr unsigned long kOfGuest = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

// What a mount says of itself that changes who may do what with the files.
std::string AccessOf(const sys::MountInfo& mount) {
  std::string access;
  for (const char* word : {"ro", "nosymfollow", kIdMapped}) {
    if (("," + mount.options + ",").find(fmt::format(",{},", word)) == std::string::npos) continue;
    access.append(word).append(" ");
  }
  return access;
}

Result<uint64_t> MountIdOf(int fd) {
  struct statx status{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0) return FailErrno("statx");
  return status.stx_mnt_id;
}

// The kernel's own name of a file, where its file system gives such: numbers of inodes need not be
// unique in what has subvolumes.
std::string HandleOf(int fd) {
  const auto handle = sys::FileHandle::Of(fd);
  return handle ? handle->bytes() : "";
}

Result<std::string> PathOfOpen(int fd) {
  std::error_code error;
  const auto path =
      std::filesystem::read_symlink(fmt::format("/proc/thread-self/fd/{}", fd), error);
  if (error) return Fail(Code::kUnavailable, error.message());
  return path.string();
}

}  // namespace

Result<SharedVolumes::Source> SharedVolumes::LookAt(const std::string& path, bool recursive,
                                                    int mount_namespace) {
  Source source;
  const auto look = [&]() -> Result<void> {
    const sys::UniqueFd top = KATA_TRY(sys::Open(path, O_PATH));
    const uint64_t id = KATA_TRY(MountIdOf(top.get()));
    const std::string below = KATA_TRY(PathOfOpen(top.get())) + "/";
    for (sys::MountInfo& each : KATA_TRY(sys::ReadMountInfo("/proc/thread-self/mountinfo"))) {
      if (static_cast<uint64_t>(each.id) == id) source.access = AccessOf(each);
      if (!recursive || !each.mount_point.starts_with(below)) continue;
      source.below.emplace(each.mount_point.substr(below.size()), each.device, each.root);
      source.access_below.emplace(each.mount_point.substr(below.size()), AccessOf(each));
    }
    return {};
  };
  KATA_TRY(mount_namespace < 0 ? look() : sys::RunInMountNamespace(mount_namespace, look));
  return source;
}

Result<SharedVolumes::Identity> SharedVolumes::Identify(int tree, const Volume& volume,
                                                        const sys::MountOptions& options) {
  struct stat status{};
  struct statvfs of_mount{};
  if (::fstat(tree, &status) != 0 || ::fstatvfs(tree, &of_mount) != 0) {
    return FailErrno("mount source", volume.source);
  }
  Identity identity{.device = status.st_dev,
                    .inode = status.st_ino,
                    .handle = HandleOf(tree),
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
  Source source = KATA_TRY(LookAt(volume.source, (options.flags & MS_REC) != 0, mount_namespace));
  // Where nothing is mounted below, "rbind" is "bind".
  if (source.below.empty()) identity.flags &= ~static_cast<unsigned long>(MS_REC);
  Mounted* mounted = KATA_TRY(Find(identity, source, volume, options.read_only()));
  if (mounted == nullptr) {
    mounted = KATA_TRY(Mount(std::move(tree), volume, options, std::move(identity)));
    mounted->source = std::move(source);
  }
  mounted->containers.insert(container_id);
  if (!options.read_only()) mounted->writers.insert(container_id);
  return mounted->name;
}

Result<SharedVolumes::Mounted*> SharedVolumes::Find(const Identity& identity, const Source& source,
                                                    const Volume& volume, bool read_only) {
  // The word does not say how: it could be another mapping than one of before.
  if (source.access.find(kIdMapped) != std::string::npos) return nullptr;
  for (const auto& [where, access] : source.access_below) {
    if (access.find(kIdMapped) != std::string::npos) return nullptr;
  }
  for (Mounted& each : mounted_) {
    if (each.identity != identity || each.source.access != source.access ||
        each.source.access_below != source.access_below) {
      continue;
    }
    const bool recursive = (identity.flags & MS_REC) != 0;
    if (KATA_TRY(LookAt(PathOf(each), recursive, -1)).below != source.below) continue;
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
  // Before it has copies in `served`, which are the peers by which it ends.
  for (const unsigned long flag : std::exchange(options.propagation, {})) {
    if ((flag & (MS_PRIVATE | MS_UNBINDABLE)) == 0) continue;
    KATA_TRY(sys::SetMountPropagation(tree.get(), MS_PRIVATE | (flag & MS_REC)));
  }
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
  KATA_TRY(Change(mounted, [](int mount) { return sys::SetMountWritable(mount); }));
  mounted.locked = false;
  return {};
}

Result<void> SharedVolumes::Lock(Mounted& mounted) const {
  KATA_TRY(Change(mounted, [](int mount) { return sys::SetMountReadOnly(mount); }));
  mounted.locked = true;
  return {};
}

Result<void> SharedVolumes::Change(const Mounted& mounted, Result<void> (*change)(int)) const {
  const auto apply = [&mounted, change](const std::string& path) -> Result<void> {
    const sys::UniqueFd root = KATA_TRY(sys::Open(path, O_PATH | O_NOFOLLOW));
    struct stat status{};
    if (::fstat(root.get(), &status) != 0) return FailErrno("stat", path);
    if (status.st_dev != mounted.identity.device || status.st_ino != mounted.identity.inode) {
      return Fail(Code::kNotFound, fmt::format("\"{}\": is not there yet", path));
    }
    return change(root.get());
  };
  if (server_ < 0) return Fail(Code::kUnavailable, "what serves it is being started");
  if (server_ > 0) {
    // First, since it alone can fail: all views change or none. The server may have forked what
    // serves; the youngest is in its last namespace.
    const pid_t server = sys::WithDescendants(server_).back();
    const sys::UniqueFd theirs =
        KATA_TRY(sys::Open(fmt::format("/proc/{}/ns/mnt", server), O_RDONLY));
    KATA_TRY(sys::RunInMountNamespace(theirs.get(), [&] { return apply("/" + mounted.name); }));
  }
  KATA_TRY(apply(fmt::format("{}/{}", served_, mounted.name)));
  return apply(PathOf(mounted));
}

std::vector<std::string> SharedVolumes::RemoveContainer(const std::string& container_id) {
  std::vector<std::string> gone;
  for (auto each = mounted_.end(); each != mounted_.begin();) {
    --each;
    if (each->containers.erase(container_id) == 0) continue;
    if (!each->containers.empty()) {
      if (each->writers.erase(container_id) == 0 || !each->writers.empty()) continue;
      if (each->identity.read_only) continue;
      if (auto locked = Lock(*each); !locked) {
        log::Warn("a volume stays writable that nobody may write to any more",
                  {{"path", PathOf(*each)}, {"reason", locked.error().message()}});
      }
      continue;
    }
    const std::string target = PathOf(*each);
    // What the host has mounted over its source is on it as well.
    while (::umount2(target.c_str(), MNT_DETACH) == 0) {
    }
    if (errno != EINVAL && errno != ENOENT) log::Warn("unmount", {{"path", target}});
    RemoveMountPoint(target);
    gone.push_back(std::move(each->name));
    each = mounted_.erase(each);
  }
  return gone;
}

}  // namespace kata::storage
