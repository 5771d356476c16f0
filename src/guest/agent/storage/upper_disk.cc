// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/upper_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include <fmt/format.h>

#include "guest/agent/storage/upper_mirror.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr std::string_view kOption = "io.katacontainers.kata-cpp.upper_of=";
constexpr std::string_view kUpperWord = "upperdir=";

// Beside the upper layer: when both sides were the same, by each one's clock.
std::string TimesFile(const UpperDisk& disk) { return disk.upper + ".times"; }
// It is not whole yet.
std::string Part(const UpperDisk& disk) { return disk.upper + ".part"; }

// What is changed on the host's side from now on is later than this, by that side's clock.
Result<timespec> HostsTime(const UpperDisk& disk) {
  const sys::UniqueFd top = KATA_TRY(sys::Open(disk.host, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat status{};
  if (::fstat(top.get(), &status) != 0) return FailErrno("stat", disk.host);
  constexpr mode_t kPermissions = 07777;
  if (::fchmod(top.get(), status.st_mode & kPermissions) != 0) return FailErrno("chmod", disk.host);
  if (::fstat(top.get(), &status) != 0) return FailErrno("stat", disk.host);
  return status.st_ctim;
}

Result<void> WriteTimes(const UpperDisk& disk) {
  timespec here{};
  // The clock of inodes' times.
  ::clock_gettime(CLOCK_REALTIME_COARSE, &here);
  const timespec there = KATA_TRY(HostsTime(disk));
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

std::string Describe(const MirrorReport& report) {
  std::string text =
      fmt::format("{} files, {} bytes, {} removed", report.copied, report.bytes, report.removed);
  if (report.lost_attributes > 0) {
    text += fmt::format(", {} extended attributes not taken", report.lost_attributes);
  }
  return text;
}

}  // namespace

Result<std::optional<UpperDisk>> UpperDiskOf(const agent::Storage& storage) {
  UpperDisk disk;
  for (const std::string& option : storage.driver_options()) {
    if (option.starts_with(kOption)) disk.host = option.substr(kOption.size());
  }
  if (disk.host.empty()) return std::nullopt;
  for (const std::string& word : storage.options()) {
    if (word.starts_with(kUpperWord)) disk.upper = word.substr(kUpperWord.size());
  }
  if (!disk.upper.starts_with('/') || !disk.host.starts_with('/')) {
    return Fail(Code::kInvalidArgument, fmt::format("{} needs an absolute upperdir", kOption));
  }
  return disk;
}

Result<std::string> FillUpperDisk(const UpperDisk& disk) {
  if (sys::Exists(disk.upper)) return "it goes on with what a machine that ended has left";
  KATA_TRY(sys::RemoveTree(Part(disk)));
  KATA_TRY(sys::MakeDirs(Part(disk)));
  const MirrorReport report =
      KATA_TRY_WITHIN("copy the upper layer", MirrorUpper(disk.host, Part(disk)));
  KATA_TRY(WriteTimes(disk));
  if (::rename(Part(disk).c_str(), disk.upper.c_str()) != 0) return FailErrno("rename", disk.upper);
  return Describe(report);
}

Result<std::string> BringUpperBack(const UpperDisk& disk) {
  const MirrorReport report = KATA_TRY_WITHIN("bring the container's files back",
                                              MirrorUpper(disk.upper, disk.host, ReadTimes(disk)));
  KATA_TRY(WriteTimes(disk));
  return Describe(report);
}

}  // namespace kata::guest
