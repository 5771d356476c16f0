// SPDX-License-Identifier: Apache-2.0
#include "host/storage/share.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/storage/image_mounts.h"
#include "host/storage/mount_descriptors.h"
#include "host/storage/mount_points.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::storage {
namespace {

constexpr const char* kSandboxes = "/run/kata-containers/shared/sandboxes";
constexpr const char* kLayers = ".layers";  // no container is called so

void TakeDown(const std::string& path) {
  // A root file system can be a stack of mounts; MNT_DETACH takes them one at a time.
  while (::umount2(path.c_str(), MNT_DETACH) == 0) {
  }
  if (errno != EINVAL && errno != ENOENT) log::Warn("unmount", {{"path", path}});
  RemoveMountPoint(path);
}

// After a failure the mount point is gone.
Result<void> ShowReadOnly(sys::UniqueFd tree, const std::string& target) {
  sys::MountOptions options;
  options.Add("bind");
  options.Add("ro");
  auto bound = sys::BindMount(std::move(tree), target, options);
  if (!bound) RemoveMountPoint(target);
  return bound;
}

}  // namespace

std::string SharedDirectory::RootOf(const std::string& sandbox_id) {
  return fmt::format("{}/{}", kSandboxes, sandbox_id);
}

Result<SharedDirectory> SharedDirectory::Create(const std::string& sandbox_id) {
  SharedDirectory share(RootOf(sandbox_id));
  Rollback undo;
  KATA_TRY(sys::MakeDirs(share.root_, 0700));
  undo.Add([root = share.root_] {
    ::umount2(root.c_str(), MNT_DETACH);
    ::rmdir(root.c_str());
  });
  KATA_TRY(sys::Mount("kata-share", share.root_, "tmpfs", MS_NOSUID | MS_NODEV,
                      "size=1m,nr_inodes=65536,mode=0700"));
  KATA_TRY(sys::MakeDirs(share.Mounts()));
  KATA_TRY(sys::MakeDirs(share.served()));
  // virtiofsd works in a mount namespace of its own: it hears of later mounts only if they are
  // shared from here.
  sys::MountOptions bind;
  bind.Add("bind");
  KATA_TRY(sys::BindMount(share.Mounts(), share.Mounts(), bind));
  KATA_TRY(sys::SetPropagation(share.Mounts(), MS_SHARED));
  sys::MountOptions read_only = bind;
  read_only.Add("ro");
  KATA_TRY(sys::BindMount(share.Mounts(), share.served(), read_only));
  undo.Release();
  return share;
}

std::string SharedDirectory::RootfsOf(const std::string& container_id) const {
  const std::string view = ViewOf(container_id);
  const auto is_view = [&](const Entry& entry) { return entry.path == view; };
  if (std::ranges::any_of(entries_, is_view)) return view;
  return fmt::format("{}/{}/rootfs", Mounts(), container_id);
}

Result<std::vector<RootfsMount>> SharedDirectory::AddImages(
    const std::string& container_id, const std::vector<RootfsMount>& mounts) {
  if (!HasDescriptors(mounts)) return mounts;
  DescribedRoot root = KATA_TRY(ParseDescriptors(mounts));
  const RootfsMount left = KATA_TRY(MountImages(root, ImagesOf(container_id)));
  described_.insert_or_assign(container_id, std::move(root));
  return std::vector{left};
}

std::optional<SharedDirectory::UpperImage> SharedDirectory::UpperImageOf(
    const std::string& container_id) const {
  const auto found = described_.find(container_id);
  if (found == described_.end()) return std::nullopt;
  const DescribedRoot& root = found->second;
  if (!root.upper || !root.upper->image || root.upper->image != root.work->image) {
    return std::nullopt;
  }
  return UpperImage{.image = root.images[*root.upper->image],
                    .directories = {root.upper->path, root.work->path}};
}

Result<void> SharedDirectory::GiveUpperImage(const std::string& container_id) {
  const DescribedRoot& root = described_.at(container_id);
  const std::string view = RootfsOf(container_id);
  while (::umount2(view.c_str(), MNT_DETACH) == 0) {
  }
  KATA_TRY_WITHIN("root file system", UnmountImage(ImagesOf(container_id), *root.upper->image));
  return MountRootfs({RootMountAt(LowersOf(root), ImagePlaces(container_id))}, view);
}

std::vector<std::string> SharedDirectory::ImagePlaces(const std::string& container_id) const {
  std::vector<std::string> places;
  for (size_t i = 0; i < described_.at(container_id).images.size(); ++i) {
    places.push_back(fmt::format("{}/{}", ImagesOf(container_id), i));
  }
  return places;
}

std::string SharedDirectory::ImagesOf(const std::string& container_id) const {
  return fmt::format("{}/images/{}", root_, container_id);
}

Result<std::string> SharedDirectory::AddRootfs(const std::string& container_id,
                                               const std::vector<RootfsMount>& mounts,
                                               const std::string& directory, bool read_only,
                                               std::vector<MountPoint>* mount_points,
                                               int mount_namespace) {
  const std::string parent = fmt::format("{}/{}", Mounts(), container_id);
  const std::string target = RootfsOf(container_id);
  Rollback undo;
  KATA_TRY(sys::MakeDirs(target));
  undo.Add([parent, target] {
    ::rmdir(target.c_str());
    ::rmdir(parent.c_str());
  });
  if (mounts.empty()) {
    sys::UniqueFd tree =
        KATA_TRY_WITHIN("root file system", CloneSource(directory, true, mount_namespace));
    struct stat status{};
    if (::fstat(tree.get(), &status) != 0) return FailErrno("root file system", directory);
    if (!S_ISDIR(status.st_mode)) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("root file system \"{}\": not a directory", directory));
    }
    sys::MountOptions bind;
    bind.Add("rbind");
    KATA_TRY_WITHIN("root file system", sys::BindMount(std::move(tree), target, bind));
  } else {
    KATA_TRY(MountRootfs(mounts, target));
  }
  undo.Add([target] { ::umount2(target.c_str(), MNT_DETACH); });
  if (read_only) {
    if (mount_points != nullptr) KATA_TRY(MakeMountPoints(target, mount_points));
    sys::MountOptions options;
    options.Add("bind");
    options.Add("ro");
    KATA_TRY_WITHIN("root file system", sys::BindMount(target, target, options));
  }
  entries_.push_back({container_id, target});
  undo.Release();
  return fmt::format("{}{}/rootfs", kGuestDirectory, container_id);
}

Result<void> SharedDirectory::HideRootfs(const std::string& container_id) {
  const std::string target = RootfsOf(container_id);
  const auto entry = std::ranges::find(entries_, target, &Entry::path);
  if (entry == entries_.end() || !entry->shown) {
    return Fail(Code::kNotFound,
                fmt::format("\"{}\" shows the guest no root file system", container_id));
  }
  const std::string view = ViewOf(container_id);
  sys::UniqueFd tree = KATA_TRY_WITHIN("root file system", sys::CloneMount(AT_FDCWD, target, true));
  // What is unmounted with the first one would be in the copy as well.
  KATA_TRY(sys::SetMountPropagation(tree.get(), MS_PRIVATE | MS_REC));
  KATA_TRY(sys::MakeDirs(view));
  if (auto bound = sys::BindMount(std::move(tree), view, {}); !bound) {
    RemoveMountPoint(view);
    return std::unexpected(std::move(bound).error().Within("root file system"));
  }
  TakeDown(target);
  (void)::rmdir(fmt::format("{}/{}", Mounts(), container_id).c_str());
  *entry = {.container_id = container_id, .path = view, .shown = false};
  return {};
}

// Inside of a directory that no other container has: any name could be that of one.
Result<std::string> SharedDirectory::AddOverlay(const std::string& container_id, size_t index,
                                                const std::string& destination,
                                                const std::vector<std::string>& options) {
  const std::string name = fmt::format("{}/{:016x}-{}", container_id, index, BaseName(destination));
  const std::string target = fmt::format("{}/{}", Mounts(), name);
  KATA_TRY(sys::MakeDirs(target));
  if (auto mounted = MountRootfs({{"overlay", "overlay", options}}, target); !mounted) {
    RemoveMountPoint(target);
    return std::unexpected(std::move(mounted).error());
  }
  entries_.push_back({container_id, target});
  return kGuestDirectory + name;
}

Result<std::string> SharedDirectory::AddVolume(const std::string& container_id,
                                               const Volume& volume, int mount_namespace) {
  return kGuestDirectory + KATA_TRY(volumes_.Add(container_id, volume, mount_namespace));
}

Result<std::string> SharedDirectory::AddLayer(const std::string& container_id,
                                              const std::string& key, int image) {
  const std::string name = fmt::format("{}/{}", kLayers, key);
  if (!layers_.contains(key)) {
    const std::string target = fmt::format("{}/{}", Mounts(), name);
    sys::UniqueFd tree = KATA_TRY_WITHIN("layer", sys::CloneMount(image, "", false));
    KATA_TRY(sys::SetMountPropagation(tree.get(), MS_PRIVATE));
    KATA_TRY(sys::MakeDirs(fmt::format("{}/{}", Mounts(), kLayers)));
    KATA_TRY(MakeMountPoint(target, false));
    KATA_TRY_WITHIN("layer", ShowReadOnly(std::move(tree), target));
  }
  layers_[key].insert(container_id);
  return kGuestDirectory + name;
}

Result<UpperDirectories> SharedDirectory::AddUpper(const std::string& container_id,
                                                   const UpperDirectories& directories,
                                                   bool read_only, int mount_namespace) {
  if (!read_only) {
    const auto shown = KATA_TRY(uppers_.Add(directories, mount_namespace));
    return UpperDirectories{.upper = kGuestDirectory + shown.upper,
                            .work = kGuestDirectory + shown.work};
  }
  const std::string name = fmt::format("{}/upper", container_id);
  const std::string target = fmt::format("{}/{}", Mounts(), name);
  sys::UniqueFd tree =
      KATA_TRY_WITHIN("upper layer", CloneSource(directories.upper, false, mount_namespace));
  KATA_TRY(sys::MakeDirs(target));
  KATA_TRY_WITHIN("upper layer", ShowReadOnly(std::move(tree), target));
  entries_.push_back({container_id, target});
  return UpperDirectories{.upper = kGuestDirectory + name, .work = ""};
}

std::vector<std::string> SharedDirectory::RemoveLayers(const std::string& container_id) {
  std::vector<std::string> gone;
  for (auto layer = layers_.begin(); layer != layers_.end();) {
    auto& [key, containers] = *layer;
    if (containers.erase(container_id) == 0 || !containers.empty()) {
      ++layer;
      continue;
    }
    std::string name = fmt::format("{}/{}", kLayers, key);
    TakeDown(fmt::format("{}/{}", Mounts(), name));
    gone.push_back(std::move(name));
    layer = layers_.erase(layer);
  }
  return gone;
}

// By its descriptor: its name may be another file's by now.
Result<std::string> SharedDirectory::AddDataImage(const std::string& container_id,
                                                  sys::UniqueFd image, int mount_namespace) {
  const int claimed = KATA_TRY(images_.Add(container_id, std::move(image)));
  return AddVolume(container_id,
                   {.source = fmt::format("/proc/thread-self/fd/{}", claimed),
                    .destination = "disk.ext4",
                    .options = {"bind"}},
                   mount_namespace);
}

std::vector<std::string> SharedDirectory::FollowMounts() {
  std::vector<std::string> changed = volumes_.FollowMounts();
  for (std::string& path : changed) path.insert(0, kGuestDirectory);
  return changed;
}

std::vector<std::string> SharedDirectory::RemoveContainer(const std::string& container_id) {
  std::vector<std::string> gone = volumes_.RemoveContainer(container_id);
  std::ranges::move(RemoveLayers(container_id), std::back_inserter(gone));
  uppers_.Sweep();
  images_.RemoveContainer(container_id);
  std::erase_if(entries_, [&](const Entry& entry) {
    if (entry.container_id != container_id) return false;
    TakeDown(entry.path);
    if (entry.shown) gone.push_back(entry.path.substr(Mounts().size() + 1));
    return true;
  });
  UnmountImages(ImagesOf(container_id));
  described_.erase(container_id);
  if (::rmdir(fmt::format("{}/{}", Mounts(), container_id).c_str()) == 0) {
    gone.push_back(container_id);
  }
  for (std::string& path : gone) path.insert(0, kGuestDirectory);
  return gone;
}

Result<void> SharedDirectory::Remove() {
  entries_.clear();
  layers_.clear();
  images_ = {};
  volumes_ = SharedVolumes(Mounts(), served());
  const auto unmounted = sys::Unmount(root_, MNT_DETACH);
  uppers_.End();
  KATA_TRY(unmounted);
  if (::rmdir(root_.c_str()) != 0 && errno != ENOENT) return FailErrno("rmdir", root_);
  return {};
}

}  // namespace kata::storage
