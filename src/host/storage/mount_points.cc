// SPDX-License-Identifier: Apache-2.0
#include "host/storage/mount_points.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/root_dir.h"

namespace kata::storage {
namespace {

bool IsBelow(const std::string& path, const std::string& directory) {
  return directory == "/" || path.starts_with(directory + "/");
}

}  // namespace

Result<void> MakeMountPoints(const std::string& rootfs, std::vector<MountPoint>* points) {
  const sys::RootDir root(KATA_TRY(sys::Open(rootfs, O_PATH | O_DIRECTORY)));
  std::vector<std::string> covered;
  for (MountPoint& point : *points) {
    const std::string destination = sys::CleanPath(point.destination);
    const bool inside = std::ranges::any_of(
        covered, [&](const std::string& mount) { return IsBelow(destination, mount); });
    covered.push_back(destination);
    if (inside) continue;
    point.made = !root.Open(destination, O_PATH);
    const auto made = point.file ? root.MakeFile(destination) : root.MakeDirs(destination);
    if (made || made.error().error_number() == EROFS) continue;
    return std::unexpected(made.error().Within(fmt::format("mount point \"{}\"", destination)));
  }
  return {};
}

Result<void> MakeMountPoint(const std::string& path, bool directory) {
  if (!directory) {
    KATA_TRY(sys::Open(path, O_CREAT | O_EXCL | O_WRONLY, 0644));
  } else if (::mkdir(path.c_str(), 0755) != 0) {
    return FailErrno("mkdir", path);
  }
  return {};
}

void RemoveMountPoint(const std::string& path) {
  if (::unlink(path.c_str()) != 0) ::rmdir(path.c_str());
}

}  // namespace kata::storage
