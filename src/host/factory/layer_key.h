// SPDX-License-Identifier: Apache-2.0
//
// factory/layer_key.h - telling one state of an image's layer from another without reading its
// files.
//
// A layer is a directory that an overlay takes as a lower one. Its key covers where it is (path,
// device, inode, time of birth) and, of all that is in it, name, inode, kind and mode, owner, size,
// device number, and the times of the last change of content and of anything: the last one moves
// with every change, of extended attributes too, and nobody can set it. So an image that was made
// of a layer holds for as long as the layer has the same key.
// Basis: statx(2), overlayfs in the kernel's documentation.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "base/deadline.h"
#include "base/result.h"

namespace kata::factory {

struct LayerKey {
  std::string name;           // 64 hexadecimal digits
  std::string directory;      // absolute, without links
  uint64_t entries = 0;       // files, directories and others, without the layer's own directory
  uint64_t bytes = 0;         // the sizes of its files, each name counted
  int64_t newest_change = 0;  // nanoseconds since 1970, by the file system's clock
};

inline constexpr uint64_t kMostLayerEntries = 500'000;

// Walks the layer: about 4 microseconds an entry where the kernel has it in memory. Follows no
// link, stays on the file system and leaves times of access alone. Wants root.
//
// Errors  kUnimplemented     no image can stand for this layer; the message says why: a file
//                            system of the network, something mounted in it, files whose contents
//                            or directories whose names lie in other layers
//         kOutOfRange        more than `most` entries
//         kDeadlineExceeded  noticed between two entries, as
//         kCancelled         `stop` was asked for
//         kAborted           it changed meanwhile
//         kNotFound, kPermissionDenied and others of the system calls
Result<LayerKey> Fingerprint(const std::string& directory, Deadline deadline,
                             uint64_t most = kMostLayerEntries, const std::stop_token& stop = {});

}  // namespace kata::factory
