// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/grow.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <cerrno>
#include <charconv>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr uint64_t kSector = 512;
// linux/ext4.h has it, but is not among the headers that Debian 12 installs.
constexpr unsigned long kExt4Resize = _IOW('f', 16, uint64_t);

Result<uint64_t> SectorsOf(const sys::UniqueFd& top, const std::string& mount_point) {
  struct stat status{};
  if (::fstat(top.get(), &status) != 0) return FailErrno("stat", mount_point);
  const auto text =
      sys::ReadFile(fmt::format("/sys/dev/block/{}:{}/size", gnu_dev_major(status.st_dev),
                                gnu_dev_minor(status.st_dev)),
                    64);
  if (!text) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("\"{}\" is no file system of a disk", mount_point));
  }
  uint64_t sectors = 0;
  std::from_chars(text->data(), text->data() + text->size(), sectors);
  return sectors;
}

Result<sys::UniqueFd> OpenTop(const std::string& mount_point) {
  return sys::Open(mount_point, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

Result<bool> DiskHas(const std::string& mount_point, uint64_t bytes) {
  const sys::UniqueFd top = KATA_TRY(OpenTop(mount_point));
  return KATA_TRY(SectorsOf(top, mount_point)) >= bytes / kSector;
}

Result<void> GrowFileSystem(const std::string& mount_point) {
  const sys::UniqueFd top = KATA_TRY(OpenTop(mount_point));
  struct statfs system{};
  if (::fstatfs(top.get(), &system) != 0) return FailErrno("statfs", mount_point);
  if (system.f_type != EXT4_SUPER_MAGIC) {
    return Fail(Code::kUnimplemented,
                fmt::format("\"{}\": ext4 alone grows while it is mounted", mount_point));
  }
  const uint64_t sectors = KATA_TRY(SectorsOf(top, mount_point));
  const uint64_t blocks = sectors * kSector / static_cast<uint64_t>(system.f_bsize);
  if (::ioctl(top.get(), kExt4Resize, &blocks) == 0) return {};
  if (errno == EROFS) {
    return Fail(Code::kFailedPrecondition, fmt::format("\"{}\" is read-only", mount_point));
  }
  return FailErrno("grow ext4", mount_point);
}

}  // namespace kata::guest
