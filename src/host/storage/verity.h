// SPDX-License-Identifier: Apache-2.0
//
// host/storage/verity.h - whether an image is the one whose dm-verity root hash is known.
//
// The host's kernel need not have dm-verity: the whole image is read, once, before it is used, and
// the hash tree is made anew of it. What changes an image afterwards is not noticed; with dm-verity
// in a kernel it would be at each read.
// Basis: kernel Documentation/admin-guide/device-mapper/verity.rst, cryptsetup's superblock of
// dm-verity, containerd's file layer.erofs.dmverity.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::storage {

struct VerityRoot {
  std::string hash;          // of the tree's root, in hexadecimal digits
  uint64_t tree_offset = 0;  // where the image ends and the superblock of the tree begins
};

// JSON with the members "roothash" and "hashoffset".
// Errors  kInvalidArgument
Result<VerityRoot> ParseVerityRoot(std::string_view text);

// Reads the image of the open file.
// Errors  kFailedPrecondition  it is another one, or was changed
//         kInvalidArgument     there is no such tree
//         kUnimplemented       the tree is of other hashes than SHA-256
Result<void> CheckVerity(int image, const VerityRoot& root);
// The same of the file `image` and of the root that the file `metadata` has.
Result<void> CheckVerity(const std::string& image, const std::string& metadata);

}  // namespace kata::storage
