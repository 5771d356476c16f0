// SPDX-License-Identifier: Apache-2.0
#include "sys/root_dir.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::sys {
namespace {

// As many as the kernel follows in one name.
constexpr int kMaxLinks = 40;
// Of a file that something is mounted over, as runc makes it.
constexpr mode_t kFileMode = 0755;

Result<UniqueFd> OpenResolved(int root, const std::string& path, int flags, uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.resolve = resolve;
  // RESOLVE_IN_ROOT answers EAGAIN when something was renamed during the walk.
  for (int tries = 0;; ++tries) {
    const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EINTR && (errno != EAGAIN || tries == 100)) return FailErrno("open", path);
  }
}

Result<std::string> ReadLink(int dir, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t length = ::readlinkat(dir, name.c_str(), target, sizeof target);
  if (length < 0) return FailErrno("readlink", name);
  return std::string(target, static_cast<size_t>(length));
}

}  // namespace

std::string CleanPath(std::string_view path) {
  std::string clean;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    clean += '/';
    clean += part;
  }
  return clean.empty() ? "/" : clean;
}

Result<UniqueFd> RootDir::Open(const std::string& path, int flags) const {
  return OpenResolved(fd_.get(), path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

Result<UniqueFd> RootDir::OpenStrict(const std::string& path, int flags) const {
  return OpenResolved(fd_.get(), path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

Result<std::string> RootDir::NameOf(int fd) const {
  const std::string root = KATA_TRY(ReadLink(AT_FDCWD, DescriptorPath(fd_.get())));
  std::string name = KATA_TRY(ReadLink(AT_FDCWD, DescriptorPath(fd)));
  if (root == "/") return name;
  if (name == root) return "/";
  if (!name.starts_with(root + "/")) {
    return Fail(Code::kInternal, fmt::format("\"{}\" is outside of the root", name));
  }
  return name.substr(root.size());
}

Result<RootDir::Place> RootDir::MakeParent(const std::string& path) const {
  const std::string clean = CleanPath(path);
  const size_t slash = clean.rfind('/');
  const std::string name = clean.substr(slash + 1);
  if (name.empty() || name == "..") {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" has no last component", path));
  }
  return Place{KATA_TRY(MakeDirs(clean.substr(0, slash))), name};
}

// Where a symbolic link that leads nowhere points to, from the root.
Result<std::string> RootDir::FollowDangling(const Place& place) const {
  const std::string target = KATA_TRY(ReadLink(place.parent.get(), place.name));
  if (target.starts_with('/')) return target;
  return fmt::format("{}/{}", KATA_TRY(NameOf(place.parent.get())), target);
}

Result<UniqueFd> RootDir::MakeDirs(const std::string& path) const {
  std::string wanted = CleanPath(path);
  for (int links = 0; links < kMaxLinks; ++links) {
    auto dir = Open(wanted, O_PATH | O_DIRECTORY);
    if (dir || dir.error().error_number() != ENOENT) return dir;
    const Place place = KATA_TRY(MakeParent(wanted));
    if (::mkdirat(place.parent.get(), place.name.c_str(), 0755) == 0) {
      return Open(wanted, O_PATH | O_DIRECTORY);
    }
    if (errno != EEXIST) return FailErrno("mkdir", wanted);
    wanted = CleanPath(KATA_TRY(FollowDangling(place)));
  }
  return std::unexpected(Error::FromErrno("mkdir", path, ELOOP));
}

Result<UniqueFd> RootDir::MakeFile(const std::string& path) const {
  std::string wanted = CleanPath(path);
  for (int links = 0; links < kMaxLinks; ++links) {
    auto file = Open(wanted, O_PATH);
    if (file || file.error().error_number() != ENOENT) return file;
    const Place place = KATA_TRY(MakeParent(wanted));
    const UniqueFd made(::openat(place.parent.get(), place.name.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
    if (made) return Open(wanted, O_PATH);
    if (errno != EEXIST) return FailErrno("create", wanted);
    wanted = CleanPath(KATA_TRY(FollowDangling(place)));
  }
  return std::unexpected(Error::FromErrno("create", path, ELOOP));
}

}  // namespace kata::sys
