// SPDX-License-Identifier: Apache-2.0
//
// host/storage/image_mounts.h - the images of a described root (mount_descriptors.h) on the host.
//
// containerd would mount them for a runtime that does not say that it takes them. Here they are
// mounted in this process's mount namespace, and what is left is a mount list as of any other
// snapshotter. A writable image holds what a guest has written: nothing in it is followed.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "host/storage/mount_descriptors.h"
#include "host/storage/rootfs.h"

namespace kata::storage {

// The file itself where the kernel mounts files, else through a loop device that goes with the
// mount. An image with dm-verity is checked before.
// Errors  those of CheckVerity
Result<void> MountImage(const ImageFile& image, const std::string& target);

// Mounts the images of `root` at <place>/<number>, makes the directories that it wants, and returns
// the mount that is left. After a failure nothing is mounted.
// Errors  kFailedPrecondition  a link is where a directory should be in an image
Result<RootfsMount> MountImages(const DescribedRoot& root, const std::string& place);
// Unmounts one of them, and waits until the host's kernel has let go of its file, so that another
// one can have it.
// Errors  kFailedPrecondition  something on the host still has it
Result<void> UnmountImage(const std::string& place, size_t number);
// Undoes MountImages. A place that is not there is fine.
void UnmountImages(const std::string& place);

}  // namespace kata::storage
