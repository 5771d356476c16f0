// SPDX-License-Identifier: Apache-2.0
//
// host/storage/mounted_image.h - layers that are images already.
//
// containerd's erofs snapshotter keeps each layer as a file with an EROFS, which it or this runtime
// mounts. The guest can mount the same file: nothing has to be built.
// Basis: proc_pid_mountinfo(5), loop(4), kernel fs/erofs/erofs_fs.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/mounts.h"

namespace kata::storage {

struct MountedImage {
  std::string path;
  sys::UniqueFd file;
  std::string key;  // the name of a file, the same for the same image as long as nobody changes it
};

// The file whose EROFS is mounted at `directory`, and the whole of it seen there, by a line of
// `mounts`; none where that is not so, or not sure.
std::optional<MountedImage> FindMountedImage(const std::vector<sys::MountInfo>& mounts,
                                             const std::string& directory);

}  // namespace kata::storage
