// SPDX-License-Identifier: Apache-2.0
//
// host/storage/copy_up.h - directories that a second overlay of the same layers must not hold
// without their upper part.
//
// What an overlay has in use, as a directory that something is mounted in or that is somebody's
// working directory, it does not look up anew: where it was in lower layers alone, it stays so, and
// what the other overlay puts there is never seen. A directory that is in the upper layer from the
// beginning is read there each time.
// Basis: fs/overlayfs in Linux; shrink_dcache_sb leaves what is in use.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace kata::storage {

// Has the overlay at `root` copy those directories, paths as its container sees them, to its upper
// layer, with the same mode, owner and time of change. What is missing or no directory is left out.
Result<void> CopyUpDirectories(const std::string& root,
                               const std::vector<std::string>& directories);

}  // namespace kata::storage
