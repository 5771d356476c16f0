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

Result<void> WriteAt(int fd, const char* data, size_t size, uint64_t offset) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = sys::RetryOnEintr(
        [&] { return ::pwrite(fd, data + done, size - done, static_cast<off_t>(offset + done)); });
    if (n < 0) return FailErrno("write", "a guest's memory");
    done += static_cast<size_t>(n);
  }
  return {};
}

struct Saver {
  int to;
  MemoryImage image;
  Hash hash;

  Result<void> Add(const char* data, uint64_t offset, size_t length) {
    KATA_TRY(WriteAt(to, data, length, offset));
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

}  // namespace

uint64_t MemoryImage::bytes() const {
  uint64_t sum = 0;
  for (const Extent& extent : extents) sum += extent.length;
  return sum;
}

Result<MemoryImage> SaveMemory(int from, int to) {
  struct stat status{};
  if (::fstat(from, &status) != 0) return FailErrno("stat", "a guest's memory");
  const auto size = static_cast<uint64_t>(status.st_size);
  if (::ftruncate(to, status.st_size) != 0) return FailErrno("truncate", "a guest's memory");
  const auto buffer = std::make_unique<char[]>(kChunk);
  Saver saver{.to = to};
  for (uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(from, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return FailErrno("seek", "a guest's memory");
    at = static_cast<uint64_t>(data) / kBlock * kBlock;
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) return FailErrno("seek", "a guest's memory");
    const uint64_t end =
        std::min((static_cast<uint64_t>(hole) + kBlock - 1) / kBlock * kBlock, size);
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

uint64_t Checksum(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

}  // namespace kata::factory
