// SPDX-License-Identifier: Apache-2.0
#include "host/storage/source_tree.h"

#include <fcntl.h>
#include <sys/mount.h>

#include "sys/mounts.h"

namespace kata::storage {

Result<sys::UniqueFd> CloneSource(const std::string& path, bool recursive, int mount_namespace) {
  sys::UniqueFd tree;
  const auto clone = [&]() -> Result<void> {
    tree = KATA_TRY(sys::CloneMount(AT_FDCWD, path, recursive));
    return {};
  };
  KATA_TRY(mount_namespace < 0 ? clone() : sys::RunInMountNamespace(mount_namespace, clone));
  // A peer of the host's mount would take what the host has below it along when it is unmounted.
  KATA_TRY(sys::SetMountPropagation(tree.get(), MS_SLAVE | MS_REC));
  return tree;
}

Result<sys::UniqueFd> CloneVolume(const Volume& volume, int mount_namespace) {
  const bool recursive = (sys::ParseMountOptions(volume.options).flags & MS_REC) != 0;
  sys::UniqueFd tree =
      KATA_TRY_WITHIN("mount source", CloneSource(volume.source, recursive, mount_namespace));
  if (volume.ids) {
    const sys::UniqueFd map =
        KATA_TRY_WITHIN("map ids", sys::MakeUserNamespace(volume.ids->uids, volume.ids->gids));
    KATA_TRY_WITHIN("map ids", sys::MapMountIds(tree.get(), map.get(), volume.ids->recursive));
  }
  return tree;
}

std::string BaseName(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::string name = path.substr(path.rfind('/') + 1);
  constexpr size_t kMaxName = 100;
  if (name.size() > kMaxName) name.resize(kMaxName);
  return name.empty() || name == "." || name == ".." ? "root" : name;
}

}  // namespace kata::storage
