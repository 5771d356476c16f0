// SPDX-License-Identifier: Apache-2.0
#include "host/storage/image_mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/deadline.h"
#include "base/log.h"
#include "base/rollback.h"
#include "host/storage/verity.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/loop_device.h"
#include "sys/mounts.h"
#include "sys/root_dir.h"

namespace kata::storage {
namespace {

constexpr auto kReleaseTime = std::chrono::seconds(5);
constexpr auto kReleaseStep = std::chrono::milliseconds(5);

// The directory in the image that is mounted at `place`, through no link.
Result<void> MakeDirectory(const std::string& place, const std::string& path, mode_t mode) {
  const sys::RootDir root(KATA_TRY(sys::Open(place, O_PATH | O_DIRECTORY)));
  const size_t slash = path.rfind('/');
  const sys::UniqueFd parent =
      KATA_TRY(root.OpenStrict(path.substr(0, slash + 1), O_PATH | O_DIRECTORY));
  const std::string name = path.substr(slash + 1);
  if (::mkdirat(parent.get(), name.c_str(), mode) == 0) {
    if (::fchmodat(parent.get(), name.c_str(), mode, 0) != 0) return FailErrno("chmod", path);
  } else if (errno != EEXIST) {
    return FailErrno("mkdir", path);
  }
  return {};
}

Result<void> CheckPath(const DescribedPath& path, const std::vector<std::string>& places) {
  if (!path.image || path.path.empty()) return {};
  const sys::RootDir root(KATA_TRY(sys::Open(places[*path.image], O_PATH | O_DIRECTORY)));
  if (auto opened = root.OpenStrict(path.path, O_PATH | O_DIRECTORY | O_NOFOLLOW); !opened) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("\"{}\" in an image: {}", path.path, opened.error().message()));
  }
  return {};
}

// The name of the loop device that is mounted at `path`, or nothing.
std::string LoopAt(const std::string& path) {
  constexpr std::string_view kLoop = "/dev/loop";
  const auto mounts = sys::ReadMountInfo();
  if (!mounts) return {};
  const auto mount =
      std::ranges::find(mounts->rbegin(), mounts->rend(), path, &sys::MountInfo::mount_point);
  if (mount == mounts->rend() || !mount->source.starts_with(kLoop)) return {};
  return mount->source.substr(mount->source.rfind('/') + 1);
}

}  // namespace

Result<void> MountImage(const ImageFile& image, const std::string& target) {
  if (!image.verity.empty()) KATA_TRY(CheckVerity(image.path, image.verity));
  std::vector<std::string> words = image.options;
  if (image.read_only) words.emplace_back("ro");
  if (image.type == "erofs") {
    // Linux 6.12 and later, where it was built so.
    auto mounted = sys::MountNew(image.type, image.path, words, target);
    if (mounted || mounted.error().error_number() != ENOTBLK) return mounted;
  }
  const sys::LoopDevice device = KATA_TRY(sys::AttachLoop(image.path, image.read_only));
  return sys::MountNew(image.type, device.path, words, target);
}

Result<RootfsMount> MountImages(const DescribedRoot& root, const std::string& place) {
  Rollback undo;
  undo.Add([place] { UnmountImages(place); });
  std::vector<std::string> places;
  for (const ImageFile& image : root.images) {
    places.push_back(fmt::format("{}/{}", place, places.size()));
    KATA_TRY(sys::MakeDirs(places.back(), 0700));
    KATA_TRY_WITHIN(fmt::format("root file system: image \"{}\"", image.path),
                    MountImage(image, places.back()));
  }
  for (const DescribedDirectory& directory : root.directories) {
    if (!directory.path.image) {
      KATA_TRY(sys::MakeDirs(directory.path.path, directory.mode));
      continue;
    }
    KATA_TRY_WITHIN("root file system: image", MakeDirectory(places[*directory.path.image],
                                                             directory.path.path, directory.mode));
  }
  for (const DescribedPath& lower : root.lowers) {
    KATA_TRY_WITHIN("root file system", CheckPath(lower, places));
  }
  if (root.upper) {
    KATA_TRY_WITHIN("root file system", CheckPath(*root.upper, places));
    KATA_TRY_WITHIN("root file system", CheckPath(*root.work, places));
  }
  undo.Release();
  return RootMountAt(root, places);
}

Result<void> UnmountImage(const std::string& place, size_t number) {
  const std::string path = fmt::format("{}/{}", place, number);
  const std::string loop = LoopAt(path);
  KATA_TRY(sys::Unmount(path, MNT_DETACH));
  // Its last user writes it back first, in its own time.
  const std::string file = fmt::format("/sys/block/{}/loop/backing_file", loop);
  const Deadline patience = Deadline::After(kReleaseTime);
  while (!loop.empty() && sys::Exists(file)) {
    if (patience.Passed()) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("image at \"{}\": {} still has it on the host", path, loop));
    }
    std::this_thread::sleep_for(kReleaseStep);
  }
  return {};
}

void UnmountImages(const std::string& place) {
  const auto close = [](DIR* open) { ::closedir(open); };
  const std::unique_ptr<DIR, decltype(close)> directory(::opendir(place.c_str()), close);
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = fmt::format("{}/{}", place, name);
    if (::umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL) {
      log::Warn("unmount", {{"path", path}});
    }
    ::rmdir(path.c_str());
  }
  ::rmdir(place.c_str());
}

}  // namespace kata::storage
