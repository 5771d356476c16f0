// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/upper_area.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <cstdio>

#include <fmt/format.h>

#include "sys/fd.h"
#include "sys/files.h"
#include "upper/area.h"

namespace kata::guest {
namespace {

constexpr uint64_t kMostAreaBytes = uint64_t{1} << 50;

// Beside the upper layer: what was left last, and when.
std::string LeftFile(const UpperDisk& disk) { return disk.upper + ".left"; }

struct Left {
  uint64_t generation = 0;
  timespec at{};
};

Result<void> WriteLeft(const UpperDisk& disk, const Left& left) {
  return sys::ReplaceFile(
      LeftFile(disk), fmt::format("{} {} {}\n", left.generation, left.at.tv_sec, left.at.tv_nsec));
}

// Without it all is left again.
Left ReadLeft(const UpperDisk& disk) {
  constexpr size_t kLongest = 128;
  constexpr int kNumbers = 3;
  Left left;
  const auto text = sys::ReadFile(LeftFile(disk), kLongest);
  if (!text) return {};
  // NOLINTNEXTLINE(cert-err34-c): the file is our own; what does not fit is as if it were missing
  const int read = std::sscanf(text->c_str(), "%" SCNu64 " %ld %ld", &left.generation,
                               &left.at.tv_sec, &left.at.tv_nsec);
  return read == kNumbers ? left : Left{};
}

// The node of the disk that has the upper layer; past the kernel's cache, which does not know what
// the host writes, and without a flush for what the host is to read.
Result<sys::UniqueFd> OpenDisk(const UpperDisk& disk) {
  const std::string folder = disk.upper.substr(0, disk.upper.rfind('/') + 1);
  struct stat status{};
  if (::stat(folder.c_str(), &status) != 0) return FailErrno("stat", folder);
  const std::string link = fmt::format("/sys/dev/block/{}:{}", gnu_dev_major(status.st_dev),
                                       gnu_dev_minor(status.st_dev));
  std::string name(PATH_MAX, '\0');
  const ssize_t size = ::readlink(link.c_str(), name.data(), name.size());
  if (size < 0) return FailErrno("readlink", link);
  name.resize(static_cast<size_t>(size));
  return sys::Open("/dev/" + name.substr(name.rfind('/') + 1), O_RDWR | O_DIRECT);
}

upper::Area AreaOf(const UpperDisk& disk, const sys::UniqueFd& file) {
  return {.fd = file.get(), .begin = disk.area_begin, .bytes = disk.area_bytes};
}

}  // namespace

bool IsArea(const UpperDisk& disk) {
  return disk.area_begin > 0 && disk.area_begin % upper::kBlock == 0 &&
         disk.area_bytes > 2 * upper::kBlock && disk.area_bytes % upper::kBlock == 0 &&
         disk.area_begin < kMostAreaBytes && disk.area_bytes < kMostAreaBytes;
}

Result<std::string> FillFromArea(const UpperDisk& disk, const std::string& to) {
  const sys::UniqueFd file = KATA_TRY(OpenDisk(disk));
  const upper::Area area = AreaOf(disk, file);
  const auto state = KATA_TRY(upper::ReadStreamState(area));
  if (!state) return Fail(Code::kFailedPrecondition, "the host has left nothing");
  const auto report = KATA_TRY(upper::ReadLayer(area, *state, to, {}));
  const timespec now = KATA_TRY(upper::TimeAt(to));
  KATA_TRY(WriteLeft(disk, {.generation = state->generation(), .at = now}));
  return Describe(report);
}

Result<std::string> LeaveInArea(const UpperDisk& disk) {
  const sys::UniqueFd file = KATA_TRY(OpenDisk(disk));
  const upper::Area area = AreaOf(disk, file);
  const Left before = ReadLeft(disk);
  const uint64_t there = KATA_TRY(upper::ReadHostGeneration(area));
  const uint64_t base = there == before.generation ? there : 0;
  const timespec now = KATA_TRY(upper::TimeAt(disk.upper));
  const auto written = KATA_TRY(upper::WriteLayer(area, disk.upper, base, before.at));
  KATA_TRY(WriteLeft(disk, {.generation = written.generation, .at = now}));
  return fmt::format("{} files, {} bytes", written.report.files, written.report.bytes);
}

}  // namespace kata::guest
