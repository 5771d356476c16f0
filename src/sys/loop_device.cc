// SPDX-License-Identifier: Apache-2.0
#include "sys/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

constexpr const char* kControl = "/dev/loop-control";
// A file system can have larger blocks than its disk, but not smaller ones.
constexpr uint32_t kBlock = 512;

Result<UniqueFd> OpenControl() {
  UniqueFd control(::open(kControl, O_RDWR | O_CLOEXEC));
  if (!control && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
    return Fail(Code::kUnimplemented, "the kernel has no loop devices");
  }
  if (!control) return FailErrno("open", kControl);
  return control;
}

// Neither a link nor a fifo that is opened in the file's place is followed or waited for.
Result<UniqueFd> OpenBacking(const std::string& file, bool read_only) {
  UniqueFd backing =
      KATA_TRY(Open(file, (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (::fstat(backing.get(), &status) != 0) return FailErrno("stat", file);
  if (!S_ISREG(status.st_mode) || status.st_size == 0) {
    return Fail(Code::kInvalidArgument,
                fmt::format("\"{}\" is not a regular file with content", file));
  }
  return backing;
}

loop_config PlanLoop(int backing, const std::string& file, bool read_only) {
  loop_config config{};
  config.fd = static_cast<uint32_t>(backing);
  config.block_size = kBlock;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  if (read_only) config.info.lo_flags |= LO_FLAGS_READ_ONLY;
  // For losetup(8); cut off where it is too long.
  std::memcpy(config.info.lo_file_name, file.data(),
              std::min(file.size(), sizeof config.info.lo_file_name - 1));
  return config;
}

// Empty when somebody else took the device that was free.
Result<std::optional<LoopDevice>> TryFree(int control, const loop_config& config) {
  const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
  if (number < 0) return FailErrno("LOOP_CTL_GET_FREE");
  LoopDevice device{.fd = UniqueFd(), .path = fmt::format("/dev/loop{}", number)};
  const bool read_only = (config.info.lo_flags & LO_FLAGS_READ_ONLY) != 0;
  device.fd.Reset(::open(device.path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  if (!device.fd) {
    // One that is just being removed.
    if (errno == ENXIO || errno == ENODEV) return std::nullopt;
    return FailErrno("open", device.path);
  }
  if (::ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
  if (errno == EBUSY) return std::nullopt;
  return FailErrno("LOOP_CONFIGURE", device.path);
}

}  // namespace

Result<LoopDevice> AttachLoop(const std::string& file, bool read_only) {
  // Each that loses has seen another win: only so many want one at a time.
  constexpr int kMostLosses = 1000;
  const UniqueFd backing = KATA_TRY(OpenBacking(file, read_only));
  const loop_config config = PlanLoop(backing.get(), file, read_only);
  const UniqueFd control = KATA_TRY(OpenControl());
  for (int losses = 0; losses < kMostLosses; ++losses) {
    auto device = KATA_TRY_WITHIN(fmt::format("loop device for \"{}\"", file),
                                  TryFree(control.get(), config));
    if (device) return *std::move(device);
  }
  return Fail(Code::kResourceExhausted,
              fmt::format("loop device for \"{}\": others took every free one", file));
}

Result<void> MakeLoopDevices(int count) {
  const UniqueFd control = KATA_TRY(OpenControl());
  for (int number = 0; number < count; ++number) {
    if (::ioctl(control.get(), LOOP_CTL_ADD, number) < 0 && errno != EEXIST) {
      return FailErrno("LOOP_CTL_ADD", std::to_string(number));
    }
  }
  return {};
}

}  // namespace kata::sys
