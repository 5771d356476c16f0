// SPDX-License-Identifier: Apache-2.0
#include "host/plan/source.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/files.h"
#include "sys/mount_options.h"
#include "sys/mounts.h"

namespace kata::sandbox {
namespace {

// statfs(2) of kernels since 5.10; newer than this C library.
constexpr unsigned long kStNoSymFollow = 0x2000;

}  // namespace

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

Source LookAtSource(const std::string& path) {
  Source source{.kind = ClassifySource(path)};
  struct statvfs mount{};
  if (source.kind == SourceKind::kMissing || ::statvfs(path.c_str(), &mount) != 0) return source;
  constexpr std::pair<unsigned long, unsigned long> kFlags[] = {{ST_RDONLY, MS_RDONLY},
                                                                {ST_NOSUID, MS_NOSUID},
                                                                {ST_NODEV, MS_NODEV},
                                                                {ST_NOEXEC, MS_NOEXEC},
                                                                {ST_NOATIME, MS_NOATIME},
                                                                {ST_NODIRATIME, MS_NODIRATIME},
                                                                {kStNoSymFollow, sys::kNoSymFollow},
                                                                {ST_RELATIME, MS_RELATIME}};
  for (const auto& [has, flag] : kFlags) {
    if (mount.f_flag & has) source.mount_flags |= flag;
  }
  if (!(mount.f_flag & (ST_NOATIME | ST_RELATIME))) source.mount_flags |= MS_STRICTATIME;
  return source;
}

Source LookAtSourceIn(int mount_namespace, const std::string& path) {
  if (mount_namespace < 0) return LookAtSource(path);
  Source source;
  LogIfFailed(sys::RunInMountNamespace(mount_namespace, [&]() -> Result<void> {
    source = LookAtSource(path);
    return {};
  }));
  return source;
}

}  // namespace kata::sandbox
