// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/overlay.h - storages of driver "overlayfs".
//
// `options` are overlayfs's, either "lowerdir=" with all layers in one, or "lowerdir+=" for each,
// the topmost first: then nothing is cut off or escaped, however many there are.
// Basis: the protocol's Storage message; kernel Documentation/filesystems/overlayfs.rst.
#pragma once

#include <string>

#include "base/result.h"
#include "proto/agent.pb.h"

namespace kata::guest {

inline constexpr const char* kOverlayDriver = "overlayfs";
// Listed beside it where OverlayKeepsLinks().
inline constexpr const char* kOverlayLinks = "overlayfs-links";

// Whether the kernel has overlayfs, and takes "lowerdir+=". Makes it load the driver.
bool HasOverlayDriver();

// Whether a file in an overlay whose upper directory is on virtiofs outlives, under its other names
// (hard links), the one that it was made with. Linux does not see to that by itself: our own kernel
// is changed for it (guest-image/README.md) and says so by a parameter of the driver.
bool OverlayKeepsLinks();

// Makes the directories that the driver options name and mounts `storage` on `point`, which is made
// where it is missing.
// Errors  as sys::MountNew
Result<void> MountOverlay(const agent::Storage& storage, const std::string& point);

}  // namespace kata::guest
