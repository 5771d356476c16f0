// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/upper_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "guest/agent/storage/upper_area.h"
#include "guest/agent/storage/upper_mirror.h"
#include "sys/files.h"
#include "upper/area.h"

namespace kata::guest {
namespace {

constexpr std::string_view kOption = "io.katacontainers.kata-cpp.upper_of=";
constexpr std::string_view kAreaOption = "io.katacontainers.kata-cpp.upper_at=";
constexpr std::string_view kUpperWord = "upperdir=";

// Beside the upper layer: when both sides were the same, by each one's clock.
std::string TimesFile(const UpperDisk& disk) { return disk.upper + ".times"; }
// It is not whole yet.
std::string Part(const UpperDisk& disk) { return disk.upper + ".part"; }

Result<void> WriteTimes(const UpperDisk& disk) {
  timespec here{};
  // The clock of inodes' times.
  ::clock_gettime(CLOCK_REALTIME_COARSE, &here);
  const timespec there = KATA_TRY(upper::TimeAt(disk.host));
  return sys::ReplaceFile(TimesFile(disk), fmt::format("{} {} {} {}\n", here.tv_sec, here.tv_nsec,
                                                       there.tv_sec, there.tv_nsec));
}

// Without them everything is copied, and nothing stays.
MirrorTimes ReadTimes(const UpperDisk& disk) {
  constexpr size_t kLongest = 128;
  constexpr int kNumbers = 4;
  MirrorTimes times;
  const auto text = sys::ReadFile(TimesFile(disk), kLongest);
  if (!text) return times;
  timespec here{};
  timespec there{};
  // NOLINTNEXTLINE(cert-err34-c): the file is our own; what does not fit is as if it were missing
  const int read = std::sscanf(text->c_str(), "%ld %ld %ld %ld", &here.tv_sec, &here.tv_nsec,
                               &there.tv_sec, &there.tv_nsec);
  if (read == kNumbers) times = {.unchanged_before = here, .kept_after = there};
  return times;
}

Result<void> ParseArea(const std::string& text, UpperDisk* disk) {
  const char* const end = text.data() + text.size();
  const auto begin = std::from_chars(text.data(), end, disk->area_begin);
  const bool one = begin.ec == std::errc() && begin.ptr != end && *begin.ptr == ':';
  const auto bytes = one ? std::from_chars(begin.ptr + 1, end, disk->area_bytes) : begin;
  if (one && bytes.ec == std::errc() && bytes.ptr == end && IsArea(*disk)) return {};
  return Fail(Code::kInvalidArgument, fmt::format("{}{}: no area", kAreaOption, text));
}

std::string Describe(const MirrorReport& report) {
  std::string text =
      fmt::format("{} files, {} bytes, {} removed", report.copied, report.bytes, report.removed);
  if (report.lost_attributes > 0) {
    text += fmt::format(", {} extended attributes not taken", report.lost_attributes);
  }
  return text;
}

Result<std::string> FillFromHost(const UpperDisk& disk) {
  const MirrorReport report = KATA_TRY(MirrorUpper(disk.host, Part(disk)));
  KATA_TRY(WriteTimes(disk));
  return Describe(report);
}

}  // namespace

Result<std::optional<UpperDisk>> UpperDiskOf(const agent::Storage& storage) {
  UpperDisk disk;
  for (const std::string& option : storage.driver_options()) {
    if (option.starts_with(kOption)) disk.host = option.substr(kOption.size());
    if (option.starts_with(kAreaOption)) {
      KATA_TRY(ParseArea(option.substr(kAreaOption.size()), &disk));
    }
  }
  if (disk.host.empty() && disk.area_bytes == 0) return std::nullopt;
  for (const std::string& word : storage.options()) {
    if (word.starts_with(kUpperWord)) disk.upper = word.substr(kUpperWord.size());
  }
  if (!disk.upper.starts_with('/') || (!disk.host.empty() && !disk.host.starts_with('/'))) {
    return Fail(Code::kInvalidArgument, "an upper layer on a disk needs an absolute upperdir");
  }
  return disk;
}

Result<std::string> FillUpperDisk(const UpperDisk& disk) {
  if (sys::Exists(disk.upper)) return "it goes on with what a machine that ended has left";
  KATA_TRY(sys::RemoveTree(Part(disk)));
  KATA_TRY(sys::MakeDirs(Part(disk)));
  std::string told =
      KATA_TRY_WITHIN("copy the upper layer",
                      disk.host.empty() ? FillFromArea(disk, Part(disk)) : FillFromHost(disk));
  if (::rename(Part(disk).c_str(), disk.upper.c_str()) != 0) return FailErrno("rename", disk.upper);
  return told;
}

Result<std::string> BringUpperBack(const UpperDisk& disk) {
  if (disk.host.empty()) {
    return KATA_TRY_WITHIN("leave the container's files to the host", LeaveInArea(disk));
  }
  const MirrorReport report = KATA_TRY_WITHIN("bring the container's files back",
                                              MirrorUpper(disk.upper, disk.host, ReadTimes(disk)));
  KATA_TRY(WriteTimes(disk));
  return Describe(report);
}

}  // namespace kata::guest
