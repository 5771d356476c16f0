// SPDX-License-Identifier: Apache-2.0
#include "upper/area.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/files.h"

namespace kata::upper {
namespace {

constexpr uint64_t kHostMagic = 0x6b61746120686f73;    // "kata hos"
constexpr uint64_t kStreamMagic = 0x6b61746120737472;  // "kata str"
constexpr uint64_t kStateBlocks = 2;

// An entry takes more there than in a file system, where a name is all of an inode's own; its inode
// takes 256 bytes of 16 KiB.
constexpr uint64_t kAdded = 8;  // the part that is added: an eighth
constexpr uint64_t kAlways = 64 << 20;

Result<void> WriteState(const Area& area, uint64_t block,
                        const google::protobuf::MessageLite& state) {
  StreamWriter writer({.fd = area.fd, .begin = area.begin + block * kBlock, .bytes = kBlock});
  KATA_TRY(writer.Write(state));
  KATA_TRY(writer.Finish());
  return {};
}

// What was never written is no message, or one of other magic.
Result<bool> ReadState(const Area& area, uint64_t block, google::protobuf::MessageLite* state) {
  StreamReader reader({.fd = area.fd, .begin = area.begin + block * kBlock, .bytes = kBlock});
  const auto read = reader.Read(state);
  if (read || read.error().code() == Code::kDataLoss) return read.has_value();
  return std::unexpected(read.error());
}

Part StreamPart(const Area& area, uint64_t bytes) {
  return {.fd = area.fd, .begin = area.begin + kStateBlocks * kBlock, .bytes = bytes};
}

Result<uint64_t> NewGeneration() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) return FailErrno("getrandom");
  return number | 1;  // not 0
}

}  // namespace

uint64_t AreaBytesFor(uint64_t file_system) {
  return (file_system + file_system / kAdded + kAlways) / kBlock * kBlock;
}

Result<uint64_t> ReadHostGeneration(const Area& area) {
  HostState state;
  const bool there = KATA_TRY(ReadState(area, 0, &state));
  return there && state.magic() == kHostMagic ? state.generation() : 0;
}

Result<void> WriteHostGeneration(const Area& area, uint64_t generation) {
  HostState state;
  state.set_magic(kHostMagic);
  state.set_generation(generation);
  return WriteState(area, 0, state);
}

Result<std::optional<StreamState>> ReadStreamState(const Area& area) {
  StreamState state;
  const bool there = KATA_TRY(ReadState(area, 1, &state));
  if (!there || state.magic() != kStreamMagic || state.generation() == 0) return std::nullopt;
  if (state.bytes() > area.bytes - kStateBlocks * kBlock) {
    return Fail(Code::kDataLoss, "the stream is longer than its place");
  }
  return state;
}

Result<Written> WriteLayer(const Area& area, const std::string& from, uint64_t base,
                           const timespec& unchanged_before) {
  KATA_TRY(WriteState(area, 1, StreamState()));
  StreamWriter writer(StreamPart(area, area.bytes - kStateBlocks * kBlock));
  Written written{
      .generation = KATA_TRY(NewGeneration()),
      .report = KATA_TRY(Pack(from, base == 0 ? timespec{} : unchanged_before, writer))};
  StreamState state;
  state.set_bytes(KATA_TRY(writer.Finish()));
  state.set_magic(kStreamMagic);
  state.set_generation(written.generation);
  state.set_base(base);
  KATA_TRY(WriteState(area, 1, state));
  return written;
}

Result<UnpackReport> ReadLayer(const Area& area, const StreamState& state, const std::string& to,
                               const timespec& kept_after) {
  StreamReader reader(StreamPart(area, state.bytes()));
  return Unpack(reader, to, kept_after);
}

// Kernels since 6.13 give inodes times between two ticks of any clock that can be asked.
Result<timespec> TimeAt(const std::string& directory) {
  const sys::UniqueFd top = KATA_TRY(sys::Open(directory, O_RDONLY | O_DIRECTORY));
  struct stat status{};
  if (::fstat(top.get(), &status) != 0) return FailErrno("stat", directory);
  constexpr mode_t kPermissions = 07777;
  if (::fchmod(top.get(), status.st_mode & kPermissions) != 0) return FailErrno("chmod", directory);
  if (::fstat(top.get(), &status) != 0) return FailErrno("stat", directory);
  return status.st_ctim;
}

}  // namespace kata::upper
