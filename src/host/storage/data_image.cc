// SPDX-License-Identifier: Apache-2.0
#include "host/storage/data_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/process.h"

namespace kata::storage {
namespace {

constexpr auto kFormatTime = std::chrono::seconds(30);
constexpr int64_t kLeast = int64_t{64} << 20;
constexpr const char* kFormat = "mke2fs";
constexpr int kImageNumber = 3;  // of its descriptor in mke2fs

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Result<sys::UniqueFd> OpenIn(int mount_namespace, const std::string& directory) {
  sys::UniqueFd opened;
  const auto open = [&]() -> Result<void> {
    opened = KATA_TRY(sys::Open(directory, O_RDONLY | O_DIRECTORY));
    return {};
  };
  KATA_TRY(mount_namespace < 0 ? open() : sys::RunInMountNamespace(mount_namespace, open));
  return opened;
}

bool IsRegular(int directory, const char* name) {
  struct stat status{};
  return ::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
}

// Of a descriptor that is given away; -1 is none.
bool IsEmptyDirectory(int fd) {
  const Directory opened(fd < 0 ? nullptr : ::fdopendir(fd));
  if (opened == nullptr) return false;
  while (const dirent* entry = ::readdir(opened.get())) {
    const std::string_view each = entry->d_name;
    if (each != "." && each != "..") return false;
  }
  return true;
}

bool IsEmpty(int directory, const char* name) {
  return IsEmptyDirectory(
      ::openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

Result<int64_t> RoomFor(int directory, int64_t size) {
  struct statvfs room{};
  if (::fstatvfs(directory, &room) != 0) return FailErrno("statvfs");
  const auto free = static_cast<int64_t>(room.f_bavail * room.f_frsize);
  if (free < kLeast) return Fail(Code::kResourceExhausted, "no room for a disk");
  constexpr int64_t kWhole = int64_t{1} << 20;
  return std::min(size, free) / kWhole * kWhole;
}

// Nothing is written that a sparse file says already: neither tables of inodes nor the journal.
Result<void> Format(int file, const struct stat& owner) {
  sys::Command command;
  command.argv = {kFormat,
                  "-q",
                  "-F",
                  "-t",
                  "ext4",
                  "-m",
                  "0",
                  "-E",
                  fmt::format("lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner={}:{}",
                              owner.st_uid, owner.st_gid),
                  fmt::format("/proc/self/fd/{}", kImageNumber)};
  command.executable = sys::FindExecutable(kFormat).value_or("/usr/sbin/mke2fs");
  command.fds = {{.from = file, .to = kImageNumber}};
  auto done = sys::RunAndCollect(std::move(command), Deadline::After(kFormatTime));
  if (!done && done.error().code() == Code::kNotFound) {
    return Fail(Code::kUnimplemented, "mke2fs is not there: install e2fsprogs");
  }
  const sys::CommandOutput ended = KATA_TRY(std::move(done));
  if (ended.status.Success()) return {};
  return Fail(Code::kInternal,
              fmt::format("{}: {}: {}", kFormat, ended.status.Describe(), ended.output));
}

Result<sys::UniqueFd> OpenExisting(int directory, const DataImage& image) {
  sys::UniqueFd file(
      ::openat(directory, image.name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return FailErrno("open", image.Path());
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return FailErrno("stat", image.Path());
  if (S_ISREG(status.st_mode) && status.st_nlink == 1) return file;
  return Fail(Code::kFailedPrecondition,
              fmt::format("\"{}\": not a file with this name alone", image.Path()));
}

}  // namespace

Result<DataContent> LookForImage(const DataImage& image, int mount_namespace) {
  sys::UniqueFd opened = KATA_TRY(OpenIn(mount_namespace, image.directory));
  const int fd = opened.get();
  const Directory directory(::fdopendir(fd));
  if (directory == nullptr) return FailErrno("read", image.directory);
  (void)opened.Release();
  bool files = false;
  bool found = false;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (name == image.name && IsRegular(fd, entry->d_name)) {
      found = true;
    } else if (name != "lost+found" || !IsEmpty(fd, entry->d_name)) {
      files = true;
    }
  }
  if (found) return files ? DataContent::kImageAndFiles : DataContent::kImage;
  return files ? DataContent::kFiles : DataContent::kNothing;
}

RootPlace LookInRoot(const sys::RootDir& root, const std::string& path) {
  const auto there = root.Open(path, O_PATH);
  if (!there) {
    return there.error().error_number() == ENOENT ? RootPlace::kNothing : RootPlace::kOther;
  }
  auto directory = root.Open(path, O_RDONLY | O_DIRECTORY);
  const bool empty = directory && IsEmptyDirectory(directory->Release());
  return empty ? RootPlace::kEmptyDirectory : RootPlace::kOther;
}

Result<sys::UniqueFd> MakeDataImage(int directory, int64_t size) {
  struct stat owner{};
  if (::fstat(directory, &owner) != 0) return FailErrno("stat");
  const int64_t fits = KATA_TRY(RoomFor(directory, size));
  constexpr mode_t kMode = 0600;
  sys::UniqueFd file(::openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, kMode));
  if (!file) return FailErrno("make a file");
  if (::ftruncate(file.get(), fits) != 0) return FailErrno("ftruncate");
  KATA_TRY(Format(file.get(), owner));
  return file;
}

Result<sys::UniqueFd> OpenDataImage(const DataImage& image, int64_t size, int mount_namespace) {
  const sys::UniqueFd directory = KATA_TRY(OpenIn(mount_namespace, image.directory));
  auto existing = OpenExisting(directory.get(), image);
  if (existing || existing.error().code() != Code::kNotFound) return existing;
  const sys::UniqueFd made = KATA_TRY_WITHIN(fmt::format("make \"{}\"", image.Path()),
                                             MakeDataImage(directory.get(), size));
  // Another sandbox may have been faster: then it is that one.
  const std::string unnamed = fmt::format("/proc/self/fd/{}", made.get());
  if (::linkat(AT_FDCWD, unnamed.c_str(), directory.get(), image.name.c_str(), AT_SYMLINK_FOLLOW) !=
          0 &&
      errno != EEXIST) {
    return FailErrno("link", image.Path());
  }
  return OpenExisting(directory.get(), image);
}

Result<void> RemoveDataImage(const DataImage& image, int mount_namespace) {
  const sys::UniqueFd directory = KATA_TRY(OpenIn(mount_namespace, image.directory));
  if (::unlinkat(directory.get(), image.name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return FailErrno("remove", image.Path());
}

Result<void> ClaimDisk(int fd, bool read_only) {
  struct flock lock{};
  lock.l_type = read_only ? F_RDLCK : F_WRLCK;
  lock.l_len = 1;  // VMMs have their own locks further on
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return {};
  if (errno != EAGAIN && errno != EACCES) return FailErrno("lock");
  return Fail(Code::kFailedPrecondition, "another virtual machine has it");
}

Result<int> ImageClaims::Add(const std::string& container_id, sys::UniqueFd file) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return FailErrno("stat");
  const auto same = std::ranges::find_if(claims_, [&](const Claim& claim) {
    return claim.device == status.st_dev && claim.inode == status.st_ino;
  });
  if (same != claims_.end()) {
    same->containers.insert(container_id);
    return same->file.get();
  }
  KATA_TRY(ClaimDisk(file.get(), false));
  claims_.push_back({status.st_dev, status.st_ino, std::move(file), {container_id}});
  return claims_.back().file.get();
}

void ImageClaims::RemoveContainer(const std::string& container_id) {
  std::erase_if(claims_, [&](Claim& claim) {
    return claim.containers.erase(container_id) != 0 && claim.containers.empty();
  });
}

}  // namespace kata::storage
