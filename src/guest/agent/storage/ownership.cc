// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/ownership.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr int kMaxNesting = 256;
constexpr mode_t kFileBits = 0660;
constexpr mode_t kDirBits = 0770 | S_ISGID;

Result<void> ChangeTree(sys::UniqueFd dir_fd, gid_t group, dev_t device, int depth);

// Processes that use the volume may put anything under the name meanwhile, so it is looked up once.
// What has gone by then is none of ours.
Result<void> ChangeEntry(int parent, const char* name, gid_t group, dev_t device, int depth) {
  const sys::UniqueFd fd(::openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno == ENOENT) return {};
  if (!fd) return FailErrno("open", name);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return FailErrno("stat", name);
  if (status.st_dev != device) return {};
  if (::fchownat(fd.get(), "", static_cast<uid_t>(-1), group, AT_EMPTY_PATH) != 0) {
    return FailErrno("chown", name);
  }
  if (S_ISLNK(status.st_mode)) return {};
  const mode_t wanted = (status.st_mode & 07777) | (S_ISDIR(status.st_mode) ? kDirBits : kFileBits);
  KATA_TRY_WITHIN(name, sys::ChangeMode(fd.get(), wanted));
  if (!S_ISDIR(status.st_mode)) return {};
  sys::UniqueFd child(::openat(fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!child) return FailErrno("open", name);
  return ChangeTree(std::move(child), group, device, depth + 1);
}

Result<void> ChangeTree(sys::UniqueFd dir_fd, gid_t group, dev_t device, int depth) {
  if (depth > kMaxNesting) return Fail(Code::kOutOfRange, "directories nest too deeply");
  const int fd = dir_fd.get();
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
  if (!dir) return FailErrno("fdopendir");
  (void)dir_fd.Release();
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    KATA_TRY(ChangeEntry(fd, entry->d_name, group, device, depth));
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
