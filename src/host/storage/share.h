// SPDX-License-Identifier: Apache-2.0
//
// host/storage/share.h - the directory tree that a sandbox shows to its guest.
//
//   <root>/mounts    what we mount: <container id>/rootfs and, for whoever names them,
//                    .volumes/<number>-<name>, .layers/<key>, .uppers/<number>
//   <root>/shared    the same tree, seen read-only at its top: what virtiofsd serves
//   <root>/views     <container id>: root file systems that only this side looks at
//
// <root> is /run/kata-containers/shared/sandboxes/<sandbox id>, a small file system of its own made
// inside the shim's private mount namespace, so that all of it vanishes with the shim. The guest
// sees <root>/shared at kGuestDirectory. The guest can write inside a root file system, never in
// the directories above; nothing on the host is mounted or opened below a name that it can change.
// Basis: Kata Containers' layout of shared directories.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/storage/data_image.h"
#include "host/storage/mount_descriptors.h"
#include "host/storage/mount_points.h"
#include "host/storage/rootfs.h"
#include "host/storage/shared_volumes.h"
#include "host/storage/source_tree.h"
#include "host/storage/upper_guard.h"

namespace kata::storage {

class SharedDirectory {
 public:
  static constexpr const char* kTag = "kataShared";
  static constexpr const char* kGuestDirectory = "/run/kata-containers/shared/containers/";

  // The path that Create() uses for a sandbox.
  static std::string RootOf(const std::string& sandbox_id);

  // Makes the tree. The calling process must be in a mount namespace of its own.
  static Result<SharedDirectory> Create(const std::string& sandbox_id);
  SharedDirectory(SharedDirectory&&) noexcept = default;
  SharedDirectory& operator=(SharedDirectory&&) noexcept = default;

  // The side for virtiofsd.
  std::string served() const { return root_ + "/shared"; }
  // The virtiofsd that has begun.
  void ServedBy(pid_t virtiofsd) { volumes_.ServedBy(virtiofsd); }

  // Mounts the images that a mount list describes (mount_descriptors.h), outside of what is served,
  // and returns the mounts that are left; any other list as it is.
  // Errors  those of ParseDescriptors and MountImages
  Result<std::vector<RootfsMount>> AddImages(const std::string& container_id,
                                             const std::vector<RootfsMount>& mounts);

  // The file with a file system that has the upper layer of a container, where AddImages was told
  // of one, and the layer's paths in it.
  struct UpperImage {
    ImageFile image;
    UpperDirectories directories;
  };
  std::optional<UpperImage> UpperImageOf(const std::string& container_id) const;
  // Takes that file out of the host's view of the container's root file system, which the guest
  // does not see any more (HideRootfs): from here on the guest can mount it. Errors  those of
  // UnmountImage
  Result<void> GiveUpperImage(const std::string& container_id);

  // Mounts a container's root file system and returns its path in the guest. Without mounts,
  // `directory`, an absolute path on the host, is the root file system. `mount_points` are made in
  // a root that is to be read-only. `mount_namespace` is the one that `directory` is meant in; -1:
  // this process's.
  // Errors  kNotFound  `directory` or a mount's source does not exist
  Result<std::string> AddRootfs(const std::string& container_id,
                                const std::vector<RootfsMount>& mounts,
                                const std::string& directory, bool read_only,
                                std::vector<MountPoint>* mount_points = nullptr,
                                int mount_namespace = -1);
  // Where a container's root file system is on the host.
  std::string RootfsOf(const std::string& container_id) const;
  // From here on the guest does not see a container's root file system, which it makes itself of
  // layers; the host still does.
  Result<void> HideRootfs(const std::string& container_id);

  // Shows a host file or directory to the guest, once for all containers that name it
  // (shared_volumes.h); returns its path in the guest.
  // Errors  as SharedVolumes::Add
  Result<std::string> AddVolume(const std::string& container_id, const Volume& volume,
                                int mount_namespace = -1);

  // Shows the image of a disk, once for all containers that have it; returns its path in the guest.
  // No other sandbox has it until they have all been removed. Errors  kFailedPrecondition  another
  // sandbox has it
  Result<std::string> AddDataImage(const std::string& container_id, sys::UniqueFd image,
                                   int mount_namespace = -1);

  // As SharedVolumes::FollowMounts; returns paths in the guest.
  std::vector<std::string> FollowMounts();
  std::vector<int> FollowedNamespaces() const { return volumes_.FollowedNamespaces(); }

  // Shows an overlay of directories of the host, mounted on this side, in the container's directory
  // under a name made from `index` and the last part of its destination; `options` name them.
  Result<std::string> AddOverlay(const std::string& container_id, size_t index,
                                 const std::string& destination,
                                 const std::vector<std::string>& options);

  // Shows a read-only layer, which is the open file `image`, once for all containers that have one
  // of this key, the name of a file; returns its path in the guest. The image may be removed while
  // it is shown.
  // Errors  kNotFound  it was removed before
  Result<std::string> AddLayer(const std::string& container_id, const std::string& key, int image);

  // Shows a container's upper layer and a work directory for the guest's overlay, guarded
  // (upper_guard.h); returns their paths in the guest. Read-only, it is the upper layer alone, and
  // `work` is empty.
  // Errors  as UpperGuards::Add
  Result<UpperDirectories> AddUpper(const std::string& container_id,
                                    const UpperDirectories& directories, bool read_only,
                                    int mount_namespace = -1);

  // As UpperGuards::Traces.
  std::vector<UpperTrace> UpperTraces() const { return uppers_.Traces(); }

  // Unmounts everything that only this container has, newest first; returns the paths in the guest
  // that are no longer. What does not exist is fine. A writable upper layer stays as long as its
  // directory, at most until Remove().
  std::vector<std::string> RemoveContainer(const std::string& container_id);

  // Unmounts the whole tree and removes its directory. What has served it must have ended.
  Result<void> Remove();

 private:
  struct Entry {
    std::string container_id;
    std::string path;   // on the host
    bool shown = true;  // below mounts/
  };
  explicit SharedDirectory(std::string root)
      : root_(std::move(root)), volumes_(Mounts(), served()), uppers_(Mounts()) {}
  // Returns the names of those that nobody else has.
  std::vector<std::string> RemoveLayers(const std::string& container_id);
  std::string ViewOf(const std::string& container_id) const {
    return root_ + "/views/" + container_id;
  }
  std::string Mounts() const { return root_ + "/mounts"; }
  std::string ImagesOf(const std::string& container_id) const;
  std::vector<std::string> ImagePlaces(const std::string& container_id) const;
  std::string root_;
  SharedVolumes volumes_;
  UpperGuards uppers_;
  std::map<std::string, std::set<std::string>> layers_;  // the containers that have one, by key
  ImageClaims images_;
  std::map<std::string, DescribedRoot> described_;  // what AddImages has mounted, by container
  std::vector<Entry> entries_;
};

}  // namespace kata::storage
