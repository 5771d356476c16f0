// SPDX-License-Identifier: Apache-2.0
//
// host/storage/mount_descriptors.h - a mount list of which nothing is mounted yet.
//
// A snapshotter can leave its files with file systems to the runtime: they come first, one mount
// each, and the last mount is made of them by templates in its source and options, which its type
// announces ("format/mkdir/overlay" with "lowerdir={{ overlay 0 3 }}"). Here that becomes values,
// without looking at any file. What is not understood is refused, never mounted in part.
// Basis: containerd's docs/mounts.md, docs/snapshotters/erofs.md.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/storage/rootfs.h"

namespace kata::storage {

// A file of the host with a file system.
struct ImageFile {
  std::string path;
  std::string type;
  bool read_only = false;
  std::vector<std::string> options;  // of the mount, without ro, rw and loop
  std::string verity;                // the file with its dm-verity root hash; empty: none

  friend bool operator==(const ImageFile&, const ImageFile&) = default;
};

// A path below the root of an image, or one of the host.
struct DescribedPath {
  std::optional<size_t> image;
  std::string path;  // below an image: empty, or with a slash in front

  friend bool operator==(const DescribedPath&, const DescribedPath&) = default;
};

struct DescribedDirectory {
  DescribedPath path;
  mode_t mode = 0700;

  friend bool operator==(const DescribedDirectory&, const DescribedDirectory&) = default;
};

// A root file system of images: an overlay, or without an upper directory and of one lower alone
// that directory itself.
struct DescribedRoot {
  std::vector<ImageFile> images;
  std::vector<DescribedPath> lowers;  // the top one first
  std::optional<DescribedPath> upper;
  std::optional<DescribedPath> work;
  std::vector<DescribedDirectory> directories;  // to be made before
  std::vector<std::string> options;             // of the last mount, besides the paths
  bool overlay = false;

  friend bool operator==(const DescribedRoot&, const DescribedRoot&) = default;
};

// Whether the list is one of those; otherwise each of its mounts is one of mount(8)'s.
bool HasDescriptors(const std::vector<RootfsMount>& mounts);

// An erofs image of metadata alone, with the layers that it merges as its devices, gives way to
// those layers: each has a file system of its own, which others share.
// Errors  kInvalidArgument  a template or an option is wrong
//         kUnimplemented    it asks for what is not known here
Result<DescribedRoot> ParseDescriptors(const std::vector<RootfsMount>& mounts);

// The same root without what is written to it.
DescribedRoot LowersOf(const DescribedRoot& root);

// Where a path is when the images are mounted at `places`.
std::string PlaceOf(const DescribedPath& path, const std::vector<std::string>& places);
// The last mount, for images that are mounted at `places`.
RootfsMount RootMountAt(const DescribedRoot& root, const std::vector<std::string>& places);

}  // namespace kata::storage
