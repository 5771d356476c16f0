// SPDX-License-Identifier: Apache-2.0
#include "host/storage/verity.h"

#include <fcntl.h>
#include <sha2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <span>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sys/fd.h"
#include "sys/files.h"

namespace kata::storage {
namespace {

constexpr size_t kMaxMetadata = 1 << 16;
constexpr uint32_t kMinBlock = 512;
constexpr uint32_t kMaxBlock = 1 << 16;
constexpr size_t kMaxSalt = 256;

static_assert(std::endian::native == std::endian::little, "numbers on the disk are little-endian");

// As on the disk.
struct Superblock {
  char signature[8];
  uint32_t version;
  uint32_t hash_type;
  uint8_t uuid[16];
  char algorithm[32];
  uint32_t data_block_size;
  uint32_t hash_block_size;
  uint64_t data_blocks;
  uint16_t salt_size;
  uint8_t padding[6];
  uint8_t salt[kMaxSalt];
};

using Bytes = std::span<const uint8_t>;

class Hasher {
 public:
  explicit Hasher(Bytes salt) : salt_(salt) {}

  // Appends the hash of a block.
  void Add(Bytes block, std::vector<uint8_t>* to) const {
    SHA2_CTX context;
    ::SHA256Init(&context);
    ::SHA256Update(&context, salt_.data(), salt_.size());
    ::SHA256Update(&context, block.data(), block.size());
    to->resize(to->size() + SHA256_DIGEST_LENGTH);
    ::SHA256Final(to->data() + to->size() - SHA256_DIGEST_LENGTH, &context);
  }

 private:
  Bytes salt_;
};

Result<void> ReadAll(int fd, uint64_t offset, std::span<uint8_t> buffer) {
  while (!buffer.empty()) {
    const ssize_t count = sys::RetryOnEintr(
        [&] { return ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
    if (count < 0) return FailErrno("pread");
    if (count == 0) return Fail(Code::kInvalidArgument, "it ends early");
    offset += static_cast<uint64_t>(count);
    buffer = buffer.subspan(static_cast<size_t>(count));
  }
  return {};
}

bool IsBlockSize(uint32_t size) {
  return std::has_single_bit(size) && size >= kMinBlock && size <= kMaxBlock;
}

Result<Superblock> ReadSuperblock(int image, uint64_t offset) {
  Superblock block{};
  KATA_TRY(ReadAll(image, offset, {reinterpret_cast<uint8_t*>(&block), sizeof(block)}));
  if (std::string_view(block.signature, sizeof(block.signature)) !=
      std::string_view("verity\0\0", sizeof(block.signature))) {
    return Fail(Code::kInvalidArgument, fmt::format("no tree of dm-verity at byte {}", offset));
  }
  const std::string algorithm(block.algorithm, ::strnlen(block.algorithm, sizeof(block.algorithm)));
  if (block.version != 1 || block.hash_type != 1 || algorithm != "sha256") {
    return Fail(Code::kUnimplemented,
                fmt::format("a tree of version {}, type {}, hash \"{}\": only 1, 1, \"sha256\" "
                            "are known",
                            block.version, block.hash_type, algorithm));
  }
  if (!IsBlockSize(block.data_block_size) || !IsBlockSize(block.hash_block_size) ||
      block.salt_size > kMaxSalt || block.data_blocks == 0 ||
      block.data_blocks > offset / block.data_block_size) {
    return Fail(Code::kInvalidArgument, "the tree's superblock has impossible sizes");
  }
  return block;
}

// The hashes of the image's blocks.
Result<std::vector<uint8_t>> HashData(int image, const Superblock& block, const Hasher& hasher) {
  constexpr size_t kAtOnce = 1 << 20;
  std::vector<uint8_t> hashes;
  std::vector<uint8_t> buffer(kAtOnce);
  const uint64_t end = block.data_blocks * block.data_block_size;
  for (uint64_t offset = 0; offset < end;) {
    const std::span<uint8_t> part(buffer.data(), std::min<uint64_t>(kAtOnce, end - offset));
    KATA_TRY(ReadAll(image, offset, part));
    for (size_t at = 0; at < part.size(); at += block.data_block_size) {
      hasher.Add(part.subspan(at, block.data_block_size), &hashes);
    }
    offset += part.size();
  }
  return hashes;
}

// The level above, whose blocks are filled up with zeros.
std::vector<uint8_t> HashLevel(std::vector<uint8_t> level, size_t block_size,
                               const Hasher& hasher) {
  level.resize((level.size() + block_size - 1) / block_size * block_size);
  std::vector<uint8_t> above;
  for (size_t at = 0; at < level.size(); at += block_size) {
    hasher.Add(Bytes(level).subspan(at, block_size), &above);
  }
  return above;
}

std::string Hexadecimal(Bytes bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

Result<VerityRoot> ParseVerityRoot(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("roothash") || !json["roothash"].is_string() ||
      !json.contains("hashoffset") || !json["hashoffset"].is_number_unsigned()) {
    return Fail(Code::kInvalidArgument, "not JSON with \"roothash\" and \"hashoffset\"");
  }
  VerityRoot root{.hash = json["roothash"].get<std::string>(),
                  .tree_offset = json["hashoffset"].get<uint64_t>()};
  const auto hexadecimal = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  if (root.hash.size() != 2 * SHA256_DIGEST_LENGTH ||
      !std::ranges::all_of(root.hash, hexadecimal)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("root hash \"{}\": not one of SHA-256", root.hash));
  }
  std::ranges::transform(root.hash, root.hash.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return root;
}

Result<void> CheckVerity(int image, const VerityRoot& root) {
  struct stat status{};
  if (::fstat(image, &status) != 0) return FailErrno("fstat");
  if (root.tree_offset > static_cast<uint64_t>(status.st_size)) {
    return Fail(Code::kInvalidArgument, "the tree would begin behind its end");
  }
  const Superblock block = KATA_TRY(ReadSuperblock(image, root.tree_offset));
  const Hasher hasher(Bytes(block.salt, block.salt_size));
  std::vector<uint8_t> level = KATA_TRY(HashData(image, block, hasher));
  while (level.size() > SHA256_DIGEST_LENGTH) {
    level = HashLevel(std::move(level), block.hash_block_size, hasher);
  }
  if (const std::string found = Hexadecimal(level); found != root.hash) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("it was changed: its root hash is {} instead of {}; remove the image "
                            "and pull it again",
                            found, root.hash));
  }
  return {};
}

Result<void> CheckVerity(const std::string& image, const std::string& metadata) {
  const std::string text = KATA_TRY(sys::ReadFile(metadata, kMaxMetadata));
  const VerityRoot root =
      KATA_TRY_WITHIN(fmt::format("dm-verity \"{}\"", metadata), ParseVerityRoot(text));
  const sys::UniqueFd file = KATA_TRY(sys::Open(image, O_RDONLY));
  KATA_TRY_WITHIN(fmt::format("dm-verity of \"{}\"", image), CheckVerity(file.get(), root));
  return {};
}

}  // namespace kata::storage
