// SPDX-License-Identifier: Apache-2.0
#include "host/plan/source.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::sandbox {

dev_t DeviceNumber(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_rdev : 0;
}

bool IsLooped(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return false;
  const std::unique_ptr<DIR, int (*)(DIR*)> devices(::opendir("/sys/block"), ::closedir);
  if (!devices) return false;
  while (const dirent* device = ::readdir(devices.get())) {
    const std::string name = device->d_name;
    if (!name.starts_with("loop") || !sys::Exists("/sys/block/" + name + "/loop")) continue;
    loop_info64 info{};
    const auto fd = sys::Open("/dev/" + name, O_RDONLY);
    if (fd && ::ioctl(fd->get(), LOOP_GET_STATUS64, &info) == 0 &&
        info.lo_device == status.st_dev && info.lo_inode == status.st_ino) {
      return true;
    }
  }
  return false;
}

std::string FindBlockDevice(dev_t number) {
  constexpr std::string_view kKey = "DEVNAME=";
  constexpr size_t kMaxBytes = 4096;
  const auto text = sys::ReadFile(
      fmt::format("/sys/dev/block/{}:{}/uevent", gnu_dev_major(number), gnu_dev_minor(number)),
      kMaxBytes);
  const size_t key = text ? text->find(kKey) : std::string::npos;
  if (key == std::string::npos) return "";
  const size_t begin = key + kKey.size();
  const std::string path = "/dev/" + text->substr(begin, text->find('\n', begin) - begin);
  return ClassifySource(path) == SourceKind::kBlockDevice && DeviceNumber(path) == number ? path
                                                                                          : "";
}

SourceKind ClassifySource(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return SourceKind::kMissing;
  if (S_ISDIR(status.st_mode)) return SourceKind::kDirectory;
  if (S_ISBLK(status.st_mode)) return SourceKind::kBlockDevice;
  if (S_ISCHR(status.st_mode)) return SourceKind::kCharacterDevice;
  return SourceKind::kFile;
}

SourceKind ClassifySourceIn(int mount_namespace, const std::string& path) {
  if (mount_namespace < 0) return ClassifySource(path);
  auto kind = SourceKind::kMissing;
  LogIfFailed(sys::RunInMountNamespace(mount_namespace, [&]() -> Result<void> {
    kind = ClassifySource(path);
    return {};
  }));
  return kind;
}

}  // namespace kata::sandbox
