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
#include "sys/root_dir.h"

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

// Wherever it is now: below a volume the guest can rename what it is on.
Result<void> UnmountById(int id) {
  for (const sys::MountInfo& each : KATA_TRY(sys::ReadMountInfo("/proc/thread-self/mountinfo"))) {
    if (each.id != id) continue;
    const sys::RootDir root(KATA_TRY(sys::Open("/", O_PATH | O_DIRECTORY)));
    const sys::UniqueFd top = KATA_TRY(root.OpenStrict(each.mount_point, O_PATH | O_NOFOLLOW));
    if (KATA_TRY(MountIdOf(top.get())) != static_cast<uint64_t>(id)) continue;
    if (::umount2(sys::DescriptorPath(top.get()).c_str(), MNT_DETACH) != 0) {
      return FailErrno("unmount", each.mount_point);
    }
    return {};
  }
  return {};
}

}  // namespace

Result<SharedVolumes::Source> SharedVolumes::LookAt(const std::string& path, bool recursive,
                                                    int mount_namespace) {
  Source source;
  const auto look = [&]() -> Result<void> {
    const sys::UniqueFd top = KATA_TRY(sys::Open(path, O_PATH));
    const uint64_t id = KATA_TRY(MountIdOf(top.get()));
    const std::string below = KATA_TRY(PathOfOpen(top.get())) + "/";
    const auto mounts = KATA_TRY(sys::ReadMountInfo("/proc/thread-self/mountinfo"));
    std::set<int> shared;
    for (const sys::MountInfo& each : mounts) {
      if (each.propagation.find("shared:") != std::string::npos) shared.insert(each.id);
    }
    for (const sys::MountInfo& each : mounts) {
      if (static_cast<uint64_t>(each.id) == id) source.access = AccessOf(each);
      if (!recursive || !each.mount_point.starts_with(below)) continue;
      source.below.emplace(each.mount_point.substr(below.size()), each.device, each.root);
      source.access_below.emplace(each.mount_point.substr(below.size()), AccessOf(each));
      source.seen[each.mount_point.substr(below.size())] = {
          .id = each.id, .told = shared.contains(each.parent_id)};
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
  FollowAll();  // or what has come meanwhile would make it another one
  Mounted* mounted = KATA_TRY(Find(identity, source, volume, options.read_only()));
  if (mounted == nullptr) {
    auto space = KATA_TRY(KeepNamespace(mount_namespace));
    mounted = KATA_TRY(Mount(std::move(tree), volume, options, std::move(identity)));
    mounted->path = volume.source;
    mounted->mount_namespace = std::move(space);
    if (auto begun = BeginToFollow(*mounted, source); !begun) {
      log::Warn("what the host mounts below a volume does not come to it",
                {{"source", volume.source}, {"reason", begun.error().message()}});
    }
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
    Identity wanted = identity;
    // What follows has what is below by now, whether or not it began with that.
    if (each.follows) wanted.flags = (wanted.flags & ~MS_REC) | (each.identity.flags & MS_REC);
    if (each.identity != wanted || each.source.access != source.access ||
        each.source.access_below != source.access_below) {
      continue;
    }
    const bool recursive = each.follows || (identity.flags & MS_REC) != 0;
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
  mounted.follows = mounted.identity.directory;
  for (const unsigned long flag : std::exchange(options.propagation, {})) {
    if ((flag & (MS_PRIVATE | MS_UNBINDABLE)) != 0) mounted.follows = false;
  }
  // Before it has copies in `served`, which are the peers by which it ends. A slave of the host's
  // mounts would be busy as long as the guest knows a file of it, and keep them from their end.
  KATA_TRY(sys::SetMountPropagation(tree.get(), MS_PRIVATE | MS_REC));
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

Result<std::shared_ptr<sys::UniqueFd>> SharedVolumes::KeepNamespace(int mount_namespace) const {
  if (mount_namespace < 0) return nullptr;
  struct stat wanted{};
  if (::fstat(mount_namespace, &wanted) != 0) return FailErrno("stat a mount namespace");
  for (const Mounted& each : mounted_) {
    struct stat known{};
    if (!each.mount_namespace || ::fstat(each.mount_namespace->get(), &known) != 0) continue;
    if (known.st_dev == wanted.st_dev && known.st_ino == wanted.st_ino) return each.mount_namespace;
  }
  sys::UniqueFd kept(::fcntl(mount_namespace, F_DUPFD_CLOEXEC, 0));
  if (!kept) return FailErrno("keep a mount namespace");
  return std::make_shared<sys::UniqueFd>(std::move(kept));
}

std::vector<int> SharedVolumes::FollowedNamespaces() const {
  std::set<int> namespaces;
  for (const Mounted& each : mounted_) {
    if (each.follows) namespaces.insert(NamespaceOf(each));
  }
  return {namespaces.begin(), namespaces.end()};
}

// What has come along with the volume's mount, or has not.
Result<void> SharedVolumes::BeginToFollow(Mounted& mounted, const Source& source) const {
  if (!mounted.follows) return {};
  mounted.follows = false;
  const auto host = source.seen.empty()
                        ? KATA_TRY(LookAt(mounted.path, true, NamespaceOf(mounted))).seen
                        : source.seen;
  const auto own = KATA_TRY(LookAt(PathOf(mounted), true, -1)).seen;
  for (const auto& [where, below] : host) {
    const auto copy = own.find(where);
    mounted.mirrored[where] = {.source_id = below.id,
                               .id = copy == own.end() ? 0 : copy->second.id};
  }
  mounted.follows = true;
  return {};
}

std::vector<std::string> SharedVolumes::FollowMounts() {
  FollowAll();
  return std::exchange(changed_, {});
}

void SharedVolumes::FollowAll() {
  for (Mounted& each : mounted_) {
    if (!each.follows) continue;
    auto followed = Follow(each);
    if (followed || followed.error().code() == Code::kNotFound) continue;
    log::Warn("what the host has mounted below a volume may not be there",
              {{"source", each.path}, {"reason", followed.error().message()}});
  }
}

Result<void> SharedVolumes::Follow(Mounted& mounted) {
  const Source now = KATA_TRY(LookAt(mounted.path, true, NamespaceOf(mounted)));
  const auto& host = now.seen;
  // What is further below first.
  for (auto each = mounted.mirrored.end(); each != mounted.mirrored.begin();) {
    --each;
    const auto& [where, mirrored] = *each;
    const auto found = host.find(where);
    if (found != host.end() && found->second.id == mirrored.source_id) continue;
    if (mirrored.id != 0) {
      KATA_TRY(UnmountById(mirrored.id));
      changed_.push_back(mounted.name + "/" + where);
    }
    each = mounted.mirrored.erase(each);
  }
  for (const auto& [where, below] : host) {
    if (mounted.mirrored.contains(where)) continue;
    Mirrored mirrored{.source_id = below.id};
    if (below.told) {
      if (auto id = Mirror(mounted, where, below.id); id) {
        mirrored.id = *id;
        changed_.push_back(mounted.name + "/" + where);
      } else {
        // Such as what a later mount has hidden, or a directory that the guest has renamed.
        log::Info("a mount of the host is not in a volume",
                  {{"volume", mounted.path}, {"where", where}, {"reason", id.error().message()}});
      }
    }
    mounted.mirrored[where] = mirrored;
  }
  mounted.source.access_below.clear();
  for (const auto& [where, access] : now.access_below) {
    if (mounted.mirrored[where].id != 0) mounted.source.access_below.emplace(where, access);
  }
  return {};
}

// The guest may write in the volume, also in place of what is on the way: no link is followed, and
// what is shown is the mount that the host's table has.
Result<int> SharedVolumes::Mirror(const Mounted& mounted, const std::string& where, int id) const {
  sys::UniqueFd tree;
  const auto clone = [&]() -> Result<void> {
    const sys::RootDir source(KATA_TRY(sys::Open(mounted.path, O_PATH | O_DIRECTORY)));
    const sys::UniqueFd top = KATA_TRY(source.OpenStrict(where, O_PATH | O_NOFOLLOW));
    if (KATA_TRY(MountIdOf(top.get())) != static_cast<uint64_t>(id)) {
      return Fail(Code::kNotFound, "it is not seen there");
    }
    tree = KATA_TRY(sys::CloneMount(top.get(), "", false));
    return {};
  };
  const int space = NamespaceOf(mounted);
  KATA_TRY(space < 0 ? clone() : sys::RunInMountNamespace(space, clone));
  KATA_TRY(sys::SetMountPropagation(tree.get(), MS_PRIVATE));
  const sys::RootDir volume(KATA_TRY(sys::Open(PathOf(mounted), O_PATH | O_DIRECTORY)));
  const sys::UniqueFd place = KATA_TRY(volume.OpenStrict(where, O_PATH | O_NOFOLLOW));
  KATA_TRY(sys::AttachMount(tree.get(), place.get()));
  return static_cast<int>(KATA_TRY(MountIdOf(tree.get())));
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
