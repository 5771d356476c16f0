// SPDX-License-Identifier: Apache-2.0
#include "host/storage/upper_exchange.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::storage {
namespace {

// Of an ext4's superblock (kernel Documentation/filesystems/ext4/super.rst).
constexpr off_t kSuperBlock = 1024;
constexpr size_t kSuperBlockBytes = 1024;
constexpr size_t kBlocksLow = 0x4;
constexpr size_t kLogBlockBytes = 0x18;
constexpr size_t kExt4MagicAt = 0x38;
constexpr size_t kIncompatible = 0x60;
constexpr size_t kBlocksHigh = 0x150;
constexpr uint16_t kExt4Magic = 0xef53;
constexpr uint32_t kHas64Bits = 0x80;
constexpr uint32_t kSmallestLog = 10;
constexpr uint32_t kMostLog = 6;

constexpr uint64_t kLargestSystem = uint64_t{1} << 46;
constexpr uint64_t kAlignment = 1 << 20;

template <class T>
T At(const std::array<char, kSuperBlockBytes>& block, size_t offset) {
  T value{};
  std::memcpy(&value, block.data() + offset, sizeof(value));
  return value;
}

// Where the file system ends. A guest may have written that.
Result<uint64_t> SizeOfFileSystem(int disk) {
  std::array<char, kSuperBlockBytes> block{};
  const ssize_t got = ::pread(disk, block.data(), block.size(), kSuperBlock);
  if (got < 0) return FailErrno("read");
  const uint32_t log = le32toh(At<uint32_t>(block, kLogBlockBytes));
  if (got != static_cast<ssize_t>(block.size()) ||
      le16toh(At<uint16_t>(block, kExt4MagicAt)) != kExt4Magic || log > kMostLog) {
    return Fail(Code::kDataLoss, "there is no ext4 file system");
  }
  uint64_t blocks = le32toh(At<uint32_t>(block, kBlocksLow));
  if ((le32toh(At<uint32_t>(block, kIncompatible)) & kHas64Bits) != 0) {
    blocks |= uint64_t{le32toh(At<uint32_t>(block, kBlocksHigh))} << 32;
  }
  if (blocks == 0 || blocks > kLargestSystem >> (kSmallestLog + log)) {
    return Fail(Code::kDataLoss, "the ext4 file system is of no possible size");
  }
  return blocks << (kSmallestLog + log);
}

}  // namespace

Result<UpperExchange> UpperExchange::Open(int disk, const std::string& upper) {
  const uint64_t system = KATA_TRY(SizeOfFileSystem(disk));
  const uint64_t begin = (system + kAlignment - 1) / kAlignment * kAlignment;
  const uint64_t bytes = upper::AreaBytesFor(system);
  struct stat status{};
  if (::fstat(disk, &status) != 0) return FailErrno("stat");
  if (static_cast<uint64_t>(status.st_size) < begin + bytes &&
      ::ftruncate(disk, static_cast<off_t>(begin + bytes)) != 0) {
    return FailErrno("ftruncate");
  }
  return UpperExchange(KATA_TRY(sys::Duplicate(disk)),
                       KATA_TRY(sys::Open(upper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)), begin,
                       bytes);
}

UpperExchange::UpperExchange(UpperExchange&& other) noexcept
    : disk_(std::move(other.disk_)),
      upper_(std::move(other.upper_)),
      begin_(other.begin_),
      bytes_(other.bytes_) {
  const MutexLock lock(other.mutex_);
  generation_ = other.generation_;
  since_ = other.since_;
}

std::string UpperExchange::words() const { return fmt::format("{}:{}", begin_, bytes_); }

std::string UpperExchange::directory() const { return sys::DescriptorPath(upper_.get()) + "/."; }

Result<void> UpperExchange::Give() {
  const MutexLock lock(mutex_);
  const upper::Written written = KATA_TRY(upper::WriteLayer(area(), directory(), 0, {}));
  KATA_TRY(upper::WriteHostGeneration(area(), written.generation));
  generation_ = written.generation;
  since_ = KATA_TRY(upper::TimeAt(directory()));
  return {};
}

Result<void> UpperExchange::Forget() {
  const MutexLock lock(mutex_);
  generation_ = 0;
  since_ = KATA_TRY(upper::TimeAt(directory()));
  return upper::WriteHostGeneration(area(), 0);
}

Result<std::string> UpperExchange::Take() {
  const MutexLock lock(mutex_);
  const auto state = KATA_TRY(upper::ReadStreamState(area()));
  if (!state || state->generation() == generation_) return std::string();
  // The next one is to be all of it, unless this one comes through.
  const uint64_t before = std::exchange(generation_, 0);
  KATA_TRY(upper::WriteHostGeneration(area(), 0));
  if (state->base() != 0 && state->base() != before) {
    return Fail(Code::kDataLoss, "the guest has left changes of what is not here");
  }
  const upper::UnpackReport report =
      KATA_TRY(upper::ReadLayer(area(), *state, directory(), since_));
  since_ = KATA_TRY(upper::TimeAt(directory()));
  Punch();
  KATA_TRY(upper::WriteHostGeneration(area(), state->generation()));
  generation_ = state->generation();
  return Describe(report);
}

// Gives the room back; where that cannot be done, it is written over the next time.
void UpperExchange::Punch() const {
  (void)::fallocate(disk_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(begin_ + upper::kBlock),
                    static_cast<off_t>(bytes_ - upper::kBlock));
}

}  // namespace kata::storage
