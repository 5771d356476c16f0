// SPDX-License-Identifier: Apache-2.0
//
// host/storage/rootfs.h - mounting a container's root file system from containerd's list of mounts.
//
// Basis: containerd's types.Mount: type, source, options, mounted one over the other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::storage {

struct RootfsMount {
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

// Whether it is of a kind that comes on a block device or in a file, and that the guest's kernel
// can mount (guest-image/kernel).
bool IsDiskType(std::string_view type);
// "loop", "loop=...": the source is a file.
bool IsLoop(std::string_view option);

// Mounts `mounts` in order at the directory `target`. Overlay mounts with more lower directories
// than a mount call takes are shortened by their common parent.
// On failure everything mounted before is unmounted again.
Result<void> MountRootfs(const std::vector<RootfsMount>& mounts, const std::string& target);

// The longest directory that every `lowerdir`, the `upperdir` and the `workdir` of an overlay's
// options are below, else every `lowerdir`, and the options relative to it; `directory` is empty
// when there is none.
struct RelativeOverlay {
  std::string directory;
  std::vector<std::string> options;
};
RelativeOverlay MakeOverlayRelative(const std::vector<std::string>& options);

}  // namespace kata::storage
