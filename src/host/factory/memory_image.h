// SPDX-License-Identifier: Apache-2.0
//
// factory/memory_image.h - a guest's memory in a file, of which only what holds anything is stored
// and copied.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace kata::factory {

// A part of the file that is not all zero. Multiples of kBlock, but for the end of the file.
struct Extent {
  uint64_t offset = 0;
  uint64_t length = 0;
  friend bool operator==(const Extent&, const Extent&) = default;
};

struct MemoryImage {
  std::vector<Extent> extents;  // ascending, apart from each other
  uint64_t checksum = 0;        // of the extents' contents, in order

  uint64_t bytes() const;
};

// How finely zeros are looked for: small enough to find them, large enough for few extents.
inline constexpr uint64_t kBlock = 16 << 10;

// Stores what `from` holds at the same places of the empty file `to`, which gets the same size.
// Both are positioned at will; `from` must not change meanwhile.
// Errors  kResourceExhausted  the disk is full
Result<MemoryImage> SaveMemory(int from, int to);

// Copies the extents from `from` to the same places of `to`, or only reads them where `to` is -1,
// and compares the checksum.
// Errors  kDataLoss  the file is shorter, or other than it was saved
Result<void> LoadMemory(int from, const MemoryImage& image, int to);

// The checksum of a text, as those of images.
uint64_t Checksum(std::string_view text);

}  // namespace kata::factory
