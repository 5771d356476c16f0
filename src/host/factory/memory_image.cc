// SPDX-License-Identifier: Apache-2.0
#include "host/factory/memory_image.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#define XXH_STATIC_LINKING_ONLY  // the state as a value
#include <xxhash.h>

#include "sys/fd.h"

namespace kata::factory {
namespace {

// Fits into a processor's second cache: the checksum reads what the copy has just brought there.
constexpr size_t kChunk = 256 << 10;
static_assert(kChunk % kBlock == 0);

class Hash {
 public:
  Hash() { XXH3_64bits_reset(&state_); }
  void Add(const char* data, size_t size) { XXH3_64bits_update(&state_, data, size); }
  uint64_t value() const { return XXH3_64bits_digest(&state_); }

 private:
  XXH3_state_t state_;
};

bool IsZero(const char* data, size_t size) {
  return data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0;
}

Result<void> ReadAt(int fd, char* data, size_t size, uint64_t offset) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = sys::RetryOnEintr(
        [&] { return ::pread(fd, data + done, size - done, static_cast<off_t>(offset + done)); });
    if (n < 0) return FailErrno("read", "a guest's memory");
    if (n == 0) return Fail(Code::kDataLoss, "the file of a guest's memory is too short");
    done += static_cast<size_t>(n);
  }
  return {};
}

struct Saver {
  int to;
  MemoryImage image;
  Hash hash;

  Result<void> Add(const char* data, uint64_t offset, size_t length) {
    if (to >= 0) KATA_TRY(WriteAt(to, data, length, offset));
    hash.Add(data, length);
    std::vector<Extent>& extents = image.extents;
    if (!extents.empty() && extents.back().offset + extents.back().length == offset) {
      extents.back().length += length;
    } else {
      extents.push_back({offset, length});
    }
    return {};
  }
};

// What is stored of the file from `at` on; nothing at its end where nothing is.
Result<Extent> NextData(int fd, uint64_t at, uint64_t size) {
  const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
  if (data < 0 && errno == ENXIO) return Extent{.offset = size, .length = 0};
  if (data < 0) return FailErrno("seek", "a guest's memory");
  const off_t hole = ::lseek(fd, data, SEEK_HOLE);
  if (hole < 0) return FailErrno("seek", "a guest's memory");
  return Extent{.offset = static_cast<uint64_t>(data),
                .length = static_cast<uint64_t>(hole - data)};
}

Result<void> CopyRange(int from, int to, uint64_t begin, uint64_t end, char* buffer) {
  for (uint64_t at = begin; at < end;) {
    const size_t length = std::min<uint64_t>(kChunk, end - at);
    KATA_TRY(ReadAt(from, buffer, length, at));
    KATA_TRY(WriteAt(to, buffer, length, at));
    at += length;
  }
  return {};
}

}  // namespace

Result<void> WriteAt(int fd, const char* data, size_t size, uint64_t offset) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = sys::RetryOnEintr(
        [&] { return ::pwrite(fd, data + done, size - done, static_cast<off_t>(offset + done)); });
    if (n < 0) return FailErrno("write", "a guest's memory");
    done += static_cast<size_t>(n);
  }
  return {};
}

Result<uint64_t> SizeOf(int fd) {
  const off_t size = ::lseek(fd, 0, SEEK_END);
  if (size < 0) return FailErrno("seek", "a guest's memory");
  return static_cast<uint64_t>(size);
}

uint64_t MemoryImage::bytes() const {
  uint64_t sum = 0;
  for (const Extent& extent : extents) sum += extent.length;
  return sum;
}

bool IsInPlace(const MemoryImage& image, uint64_t size) {
  if (image.extents.size() > kMaxExtents) return false;
  uint64_t end = 0;
  for (const Extent& extent : image.extents) {
    if (extent.offset < end || extent.offset > size || extent.length > size - extent.offset) {
      return false;
    }
    end = extent.offset + extent.length;
  }
  return true;
}

Result<MemoryImage> SaveMemory(int from, int to) {
  const uint64_t size = KATA_TRY(SizeOf(from));
  if (to >= 0 && ::ftruncate(to, static_cast<off_t>(size)) != 0) {
    return FailErrno("truncate", "a guest's memory");
  }
  const auto buffer = std::make_unique<char[]>(kChunk);
  Saver saver{.to = to, .image = {}, .hash = {}};
  for (uint64_t at = 0; at < size;) {
    const Extent data = KATA_TRY(NextData(from, at, size));
    at = data.offset / kBlock * kBlock;
    const uint64_t end = std::min((data.offset + data.length + kBlock - 1) / kBlock * kBlock, size);
    while (at < end) {
      const size_t length = std::min<uint64_t>(kChunk, end - at);
      KATA_TRY(ReadAt(from, buffer.get(), length, at));
      for (size_t begin = 0; begin < length; begin += kBlock) {
        const size_t part = std::min<size_t>(kBlock, length - begin);
        if (IsZero(buffer.get() + begin, part)) continue;
        KATA_TRY(saver.Add(buffer.get() + begin, at + begin, part));
      }
      at += length;
    }
  }
  saver.image.checksum = saver.hash.value();
  return std::move(saver.image);
}

Result<void> LoadMemory(int from, const MemoryImage& image, int to) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kChunk);
  Hash hash;
  for (const Extent& extent : image.extents) {
    for (uint64_t done = 0; done < extent.length;) {
      const size_t length = std::min<uint64_t>(kChunk, extent.length - done);
      KATA_TRY(ReadAt(from, buffer.get(), length, extent.offset + done));
      hash.Add(buffer.get(), length);
      if (to >= 0) KATA_TRY(WriteAt(to, buffer.get(), length, extent.offset + done));
      done += length;
    }
  }
  if (hash.value() == image.checksum) return {};
  return Fail(Code::kDataLoss, "a guest's memory is not what was saved: its checksum differs");
}

Result<void> CopyMemory(int from, int to, const std::vector<Extent>& except) {
  const uint64_t size = KATA_TRY(SizeOf(from));
  const auto buffer = std::make_unique_for_overwrite<char[]>(kChunk);
  auto next = except.begin();
  for (uint64_t at = 0; at < size;) {
    const Extent data = KATA_TRY(NextData(from, at, size));
    const uint64_t end = data.offset + data.length;
    for (at = data.offset; at < end;) {
      while (next != except.end() && next->offset + next->length <= at) ++next;
      const bool last = next == except.end();
      const uint64_t stop = last ? end : std::clamp(next->offset, at, end);
      KATA_TRY(CopyRange(from, to, at, stop, buffer.get()));
      at = last ? end : std::max(stop, std::min(next->offset + next->length, end));
    }
  }
  return {};
}

uint64_t Checksum(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

}  // namespace kata::factory
