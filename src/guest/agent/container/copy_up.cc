// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/copy_up.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include <fmt/format.h>

#include "sys/fd.h"

namespace kata::guest {
namespace {

constexpr int kMaxDepth = 128;

Result<void> CopyContent(int from, int to, const char* name) {
  const sys::UniqueFd in(::openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!in) return FailErrno("open", name);
  const sys::UniqueFd out(
      ::openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) return FailErrno("create", name);
  for (;;) {
    const ssize_t n = ::sendfile(out.get(), in.get(), nullptr, 1 << 20);
    if (n == 0) return {};
    if (n < 0 && errno != EINTR) return FailErrno("copy", name);
  }
}

Result<void> CopyLink(int from, int to, const char* name) {
  char target[PATH_MAX + 1] = {};
  if (::readlinkat(from, name, target, PATH_MAX) < 0) return FailErrno("readlink", name);
  if (::symlinkat(target, to, name) != 0) return FailErrno("symlink", name);
  return {};
}

Result<void> CopyTree(sys::UniqueFd from, int to, dev_t device, int depth);

Result<void> CopyEntry(int from, int to, const char* name, dev_t device, int depth) {
  struct stat status{};
  if (::fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno("stat", name);
  if (S_ISDIR(status.st_mode)) {
    if (::mkdirat(to, name, 0700) != 0) return FailErrno("mkdir", name);
    if (status.st_dev == device) {
      sys::UniqueFd inner(::openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      const sys::UniqueFd made(::openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!inner || !made) return FailErrno("open", name);
      KATA_TRY_WITHIN(name, CopyTree(std::move(inner), made.get(), device, depth + 1));
    }
  } else if (S_ISREG(status.st_mode)) {
    KATA_TRY(CopyContent(from, to, name));
  } else if (S_ISLNK(status.st_mode)) {
    KATA_TRY(CopyLink(from, to, name));
  } else if (::mknodat(to, name, status.st_mode, status.st_rdev) != 0) {
    return FailErrno("mknod", name);
  }
  if (::fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno("chown", name);
  }
  // After the owner, whose change takes set-user-id bits away.
  if (!S_ISLNK(status.st_mode) && ::fchmodat(to, name, status.st_mode & 07777, 0) != 0) {
    return FailErrno("chmod", name);
  }
  const timespec times[2] = {status.st_atim, status.st_mtim};
  (void)::utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
  return {};
}

Result<void> CopyTree(sys::UniqueFd from, int to, dev_t device, int depth) {
  if (depth > kMaxDepth) return Fail(Code::kOutOfRange, "directories nest too deeply");
  const int fd = from.get();
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
  if (!dir) return FailErrno("fdopendir");
  (void)from.Release();
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    KATA_TRY(CopyEntry(fd, to, entry->d_name, device, depth));
  }
  return {};
}

}  // namespace

Result<void> CopyUp(int from, int to) {
  sys::UniqueFd source(::openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const sys::UniqueFd target(::openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!source || !target) return FailErrno("open");
  struct stat status{};
  if (::fstat(source.get(), &status) != 0) return FailErrno("stat");
  if (::fchown(target.get(), status.st_uid, status.st_gid) != 0) return FailErrno("chown");
  return CopyTree(std::move(source), target.get(), status.st_dev, 0);
}

}  // namespace kata::guest
