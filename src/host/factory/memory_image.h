// SPDX-License-Identifier: Apache-2.0
//
// factory/memory_image.h - a guest's memory in a file, of which only what holds anything is stored
// and copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
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

// The most extents of one, and of a guest's memory.
inline constexpr size_t kMaxExtents = 1 << 20;
inline constexpr uint32_t kMaxMemoryMib = 16 << 20;

// Whether the extents are such, for a file of that size: where an image was read.
bool IsInPlace(const MemoryImage& image, uint64_t size);

// How finely zeros are looked for: small enough to find them, large enough for few extents.
inline constexpr uint64_t kBlock = 16 << 10;

// Stores what `from`, a file or block device, holds at the same places of the empty file `to`,
// which gets the same size; or only looks where `to` is -1. Both are positioned at will; `from`
// must not change meanwhile. Errors  kResourceExhausted  the disk is full
Result<MemoryImage> SaveMemory(int from, int to);

// Copies what `from` holds to the same places of `to`, which has the same size, but for `except`:
// ascending, apart from each other.
// Errors  kResourceExhausted  the disk is full
Result<void> CopyMemory(int from, int to, const std::vector<Extent>& except);

// Copies the extents from `from` to the same places of `to`, or only reads them where `to` is -1,
// and compares the checksum.
// Errors  kDataLoss  the file is shorter, or other than it was saved
Result<void> LoadMemory(int from, const MemoryImage& image, int to);

// All of it. Errors  kResourceExhausted  the disk is full
Result<void> WriteAt(int fd, const char* data, size_t size, uint64_t offset);

// Of a file or block device; moves its position.
Result<uint64_t> SizeOf(int fd);

// The checksum of a text, as those of images.
uint64_t Checksum(std::string_view text);

}  // namespace kata::factory
