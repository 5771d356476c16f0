// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/own_pages.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "sys/fd.h"
#include "sys/files.h"

namespace kata::snapshot {
namespace {

using factory::Extent;

constexpr uint64_t kPage = 4096;
constexpr size_t kChunk = 256 << 10;
constexpr size_t kMaxMaps = 64 << 20;
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kSwapped = uint64_t{1} << 62;
constexpr uint64_t kOfFile = uint64_t{1} << 61;
constexpr int kHex = 16;

// Takes the next number off `text`, and the character behind it.
std::optional<uint64_t> TakeNumber(std::string_view* text, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value, base);
  if (error != std::errc{}) return std::nullopt;
  const auto used = static_cast<size_t>(end - text->data());
  text->remove_prefix(std::min(used + 1, text->size()));
  return value;
}

// "7f..-7f.. rw-p 00000000 08:01 1234   /name"
std::optional<Mapping> ParseLine(std::string_view line, uint64_t device, uint64_t inode) {
  constexpr size_t kRights = 4;
  const auto begin = TakeNumber(&line, kHex);
  const auto end = TakeNumber(&line, kHex);
  if (!begin || !end || line.size() <= kRights || line[kRights - 1] != 'p') return std::nullopt;
  line.remove_prefix(kRights + 1);
  const auto offset = TakeNumber(&line, kHex);
  const auto major = TakeNumber(&line, kHex);
  const auto minor = TakeNumber(&line, kHex);
  constexpr int kDecimal = 10;
  const auto node = TakeNumber(&line, kDecimal);
  if (!offset || !major || !minor || node != inode || *begin >= *end) return std::nullopt;
  if (makedev(*major, *minor) != device) return std::nullopt;
  return Mapping{.begin = *begin, .end = *end, .offset = *offset};
}

Result<void> ReadAll(int fd, char* data, size_t size, uint64_t offset, std::string_view what) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = sys::RetryOnEintr(
        [&] { return ::pread(fd, data + done, size - done, static_cast<off_t>(offset + done)); });
    if (n < 0) return FailErrno("read", what);
    if (n == 0) return Fail(Code::kUnavailable, fmt::format("read {}: the VMM has ended", what));
    done += static_cast<size_t>(n);
  }
  return {};
}

// One process's memory on its way into a file.
class Copier {
 public:
  static Result<Copier> Open(pid_t pid, int to) {
    Copier copier(to);
    copier.pagemap_ = KATA_TRY(sys::Open(fmt::format("/proc/{}/pagemap", pid), O_RDONLY));
    copier.memory_ = KATA_TRY(sys::Open(fmt::format("/proc/{}/mem", pid), O_RDONLY));
    return copier;
  }

  Result<void> Copy(const Mapping& mapping) {
    const uint64_t pages = (mapping.end - mapping.begin) / kPage;
    std::vector<uint64_t> entries(pages);
    KATA_TRY(ReadAll(pagemap_.get(), reinterpret_cast<char*>(entries.data()),
                     pages * sizeof(uint64_t), mapping.begin / kPage * sizeof(uint64_t),
                     "the VMM's pagemap"));
    for (uint64_t page = 0; page < pages;) {
      uint64_t end = page;
      while (end < pages && IsOwn(entries[end])) ++end;
      if (end > page) KATA_TRY(CopyRun(mapping, page * kPage, end * kPage));
      page = std::max(end, page + 1);
    }
    return {};
  }

  std::vector<Extent> TakeExtents() { return std::move(extents_); }

 private:
  explicit Copier(int to) : to_(to) {}

  // Bytes `begin` to `end` of the mapping.
  Result<void> CopyRun(const Mapping& mapping, uint64_t begin, uint64_t end) {
    for (uint64_t at = begin; at < end;) {
      const size_t length = std::min<uint64_t>(kChunk, end - at);
      KATA_TRY(
          ReadAll(memory_.get(), buffer_.get(), length, mapping.begin + at, "the VMM's memory"));
      KATA_TRY(factory::WriteAt(to_, buffer_.get(), length, mapping.offset + at));
      at += length;
    }
    extents_.push_back({.offset = mapping.offset + begin, .length = end - begin});
    return {};
  }

  int to_;
  sys::UniqueFd pagemap_;
  sys::UniqueFd memory_;
  std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kChunk);
  std::vector<Extent> extents_;
};

// Ascending, with what touches joined.
std::vector<Extent> Join(std::vector<Extent> extents) {
  std::ranges::sort(extents, {}, &Extent::offset);
  std::vector<Extent> joined;
  for (const Extent& extent : extents) {
    const uint64_t end = extent.offset + extent.length;
    if (!joined.empty() && extent.offset <= joined.back().offset + joined.back().length) {
      Extent& last = joined.back();
      last.length = std::max(last.offset + last.length, end) - last.offset;
    } else {
      joined.push_back(extent);
    }
  }
  return joined;
}

}  // namespace

std::vector<Mapping> ParseMaps(std::string_view maps, uint64_t device, uint64_t inode) {
  std::vector<Mapping> mappings;
  while (!maps.empty()) {
    const size_t end = std::min(maps.find('\n'), maps.size());
    if (const auto mapping = ParseLine(maps.substr(0, end), device, inode)) {
      mappings.push_back(*mapping);
    }
    maps.remove_prefix(std::min(end + 1, maps.size()));
  }
  return mappings;
}

bool IsOwn(uint64_t entry) {
  return (entry & (kPresent | kSwapped)) != 0 && (entry & kOfFile) == 0;
}

Result<std::vector<Extent>> CopyOwnPages(pid_t pid, int file, int to) {
  struct stat status{};
  if (::fstat(file, &status) != 0) return FailErrno("stat", "a guest's memory");
  const std::string maps = KATA_TRY(sys::ReadFile(fmt::format("/proc/{}/maps", pid), kMaxMaps));
  const auto mappings = ParseMaps(maps, status.st_dev, status.st_ino);
  if (mappings.empty()) {
    return Fail(Code::kNotFound, fmt::format("process {} maps no memory of a guest", pid));
  }
  Copier copier = KATA_TRY(Copier::Open(pid, to));
  for (const Mapping& mapping : mappings) KATA_TRY(copier.Copy(mapping));
  return Join(copier.TakeExtents());
}

}  // namespace kata::snapshot
