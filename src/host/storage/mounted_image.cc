// SPDX-License-Identifier: Apache-2.0
#include "host/storage/mounted_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::storage {
namespace {

constexpr off_t kSuperblockOffset = 1024;
constexpr uint32_t kErofsMagic = 0xE0F5E1E2;

static_assert(std::endian::native == std::endian::little, "numbers on the disk are little-endian");

// The part of it that is used here, as on the disk.
struct ErofsSuperblock {
  uint32_t magic;
  uint32_t checksum;
  uint32_t feature_compat;
  uint8_t block_size_bits;
  uint8_t extended_slots;
  uint16_t root_number;
  uint64_t inodes;
  uint64_t build_time;
  uint32_t build_time_nanoseconds;
  uint32_t blocks;
  uint32_t metadata_block;
  uint32_t xattr_block;
  uint8_t uuid[16];
  uint8_t volume_name[16];
  uint32_t feature_incompat;
  uint16_t compression;
  uint16_t extra_devices;
};

std::string Trimmed(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// The file behind a mount's source: itself, or that of a loop device.
std::string FileBehind(const std::string& source) {
  constexpr std::string_view kLoop = "/dev/loop";
  if (!source.starts_with(kLoop)) return source;
  const std::string name = source.substr(source.rfind('/') + 1);
  const auto read = [&](const char* word) {
    auto text = sys::ReadFile(fmt::format("/sys/block/{}/loop/{}", name, word));
    return text ? Trimmed(std::move(*text)) : std::string();
  };
  return read("offset") == "0" && read("sizelimit") == "0" ? read("backing_file") : std::string();
}

// A file of that name might have taken the mounted one's place since.
bool IsMountedAt(int file, const std::string& directory) {
  ErofsSuperblock block{};
  if (::pread(file, &block, sizeof(block), kSuperblockOffset) != sizeof(block)) return false;
  struct statfs system{};
  struct stat root{};
  return block.magic == kErofsMagic && block.extra_devices == 0 &&
         ::statfs(directory.c_str(), &system) == 0 && ::stat(directory.c_str(), &root) == 0 &&
         system.f_blocks == block.blocks &&
         static_cast<uint64_t>(system.f_bsize) == uint64_t{1} << block.block_size_bits &&
         root.st_ino == block.root_number;
}

}  // namespace

std::optional<MountedImage> FindMountedImage(const std::vector<sys::MountInfo>& mounts,
                                             const std::string& directory) {
  // Of several mounts at one place the last one is seen.
  const auto mount = std::ranges::find_if(
      mounts.rbegin(), mounts.rend(),
      [&](const sys::MountInfo& info) { return info.mount_point == directory; });
  if (mount == mounts.rend() || mount->type != "erofs" || mount->root != "/") return std::nullopt;
  const std::string path = FileBehind(mount->source);
  if (!path.starts_with('/')) return std::nullopt;
  auto file = sys::Open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
  struct stat status{};
  if (!file || ::fstat(file->get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      !IsMountedAt(file->get(), directory)) {
    return std::nullopt;
  }
  // Its change time tells when somebody has written to it, and cannot be set.
  std::string key = fmt::format("erofs-{:x}-{:x}-{:x}-{:x}.{:x}", status.st_dev, status.st_ino,
                                status.st_size, status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
  return MountedImage{.path = path, .file = std::move(*file), .key = std::move(key)};
}

}  // namespace kata::storage
