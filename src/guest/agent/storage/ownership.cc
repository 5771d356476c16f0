// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/ownership.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "sys/file.h"

namespace kata::guest {
namespace {

constexpr int kMaxNesting = 256;
constexpr mode_t kFileBits = 0660;
constexpr mode_t kDirBits = 0770 | S_ISGID;

Result<void> ChangeTree(sys::UniqueFd dir_fd, gid_t group, dev_t device, int depth) {
  if (depth > kMaxNesting) return Fail(Code::kOutOfRange, "directories nest too deeply");
  const int fd = dir_fd.get();
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
  if (!dir) return FailErrno("fdopendir");
  (void)dir_fd.Release();
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat status{};
    if (::fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return FailErrno("stat", name);
    }
    if (status.st_dev != device) continue;
    if (::fchownat(fd, entry->d_name, static_cast<uid_t>(-1), group, AT_SYMLINK_NOFOLLOW) != 0) {
      return FailErrno("chown", name);
    }
    if (S_ISLNK(status.st_mode)) continue;
    const mode_t wanted =
        (status.st_mode & 07777) | (S_ISDIR(status.st_mode) ? kDirBits : kFileBits);
    if (::fchmodat(fd, entry->d_name, wanted, 0) != 0) return FailErrno("chmod", name);
    if (!S_ISDIR(status.st_mode)) continue;
    sys::UniqueFd child(
        ::openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) return FailErrno("open", name);
    KATA_TRY(ChangeTree(std::move(child), group, device, depth + 1));
  }
  return {};
}

}  // namespace

Result<void> ChangeGroup(const std::string& path, gid_t group, bool only_on_mismatch) {
  sys::UniqueFd fd = KATA_TRY(sys::Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return FailErrno("stat", path);
  const bool as_it_should = status.st_gid == group && (status.st_mode & kDirBits) == kDirBits;
  if (only_on_mismatch && as_it_should) return {};
  sys::UniqueFd copy = KATA_TRY(sys::Duplicate(fd.get()));
  KATA_TRY_WITHIN(path, ChangeTree(std::move(copy), group, status.st_dev, 0));
  // Last, so that a change that stopped half-way shows as a mismatch.
  if (::fchown(fd.get(), static_cast<uid_t>(-1), group) != 0) return FailErrno("chown", path);
  if (::fchmod(fd.get(), (status.st_mode & 07777) | kDirBits) != 0) return FailErrno("chmod", path);
  return {};
}

}  // namespace kata::guest
