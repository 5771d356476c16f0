// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/file_copy.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "sys/fd.h"
#include "sys/mounts.h"
#include "upper/attributes.h"

namespace kata::guest {
namespace {

constexpr mode_t kModeBits = 07777;
constexpr mode_t kIdBits = S_ISUID | S_ISGID;

std::string PathIn(int directory, const std::string& name) {
  return fmt::format("{}/{}", sys::DescriptorPath(directory), name);
}

// False where the target does not take it.
Result<bool> CopyAttribute(const std::string& from, const std::string& to,
                           const std::string& name) {
  std::string value(XATTR_SIZE_MAX, '\0');
  const ssize_t size = ::lgetxattr(from.c_str(), name.c_str(), value.data(), value.size());
  // It is not shown to everybody who may list it.
  if (size < 0 && (errno == ENODATA || upper::NotTaken(errno))) return true;
  if (size < 0) return FailErrno("read extended attribute", name);
  if (::lsetxattr(to.c_str(), name.c_str(), value.data(), static_cast<size_t>(size), 0) == 0) {
    return true;
  }
  if (upper::NotTaken(errno)) return false;
  return FailErrno("set extended attribute", name);
}

Result<uint64_t> CopyAttributes(const std::string& from, const std::string& to) {
  uint64_t lost = 0;
  for (const std::string& name : KATA_TRY(upper::AttributeNames(from))) {
    if (upper::IsPortable(name) && !KATA_TRY(CopyAttribute(from, to, name))) ++lost;
  }
  return lost;
}

// What was taken away from the source since it was copied last.
Result<void> RemoveOtherAttributes(const std::string& from, const std::string& to) {
  const auto here = KATA_TRY(upper::AttributeNames(from));
  for (const std::string& name : KATA_TRY(upper::AttributeNames(to))) {
    if (!upper::IsPortable(name) || std::ranges::find(here, name) != here.end()) continue;
    if (::lremovexattr(to.c_str(), name.c_str()) != 0 && errno != ENODATA &&
        !upper::NotTaken(errno)) {
      return FailErrno("remove extended attribute", name);
    }
  }
  return {};
}

Result<void> CopyExtent(int from, int to, off_t begin, off_t end, char* buffer, size_t room) {
  for (off_t at = begin; at < end;) {
    const size_t wanted = std::min(room, static_cast<size_t>(end - at));
    const ssize_t got = sys::RetryOnEintr([&] { return ::pread(from, buffer, wanted, at); });
    if (got < 0) return FailErrno("read");
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = sys::RetryOnEintr(
          [&] { return ::pwrite(to, buffer + done, static_cast<size_t>(got - done), at + done); });
      if (put < 0) return FailErrno("write");
      done += put;
    }
    at += got;
  }
  return {};
}

// With its holes.
Result<uint64_t> CopyContent(int from, int to, off_t size) {
  constexpr size_t kRoom = 1 << 20;
  const auto buffer =
      std::make_unique<char[]>(std::min(kRoom, static_cast<size_t>(std::max<off_t>(size, 1))));
  const size_t room = std::min(kRoom, static_cast<size_t>(std::max<off_t>(size, 1)));
  uint64_t copied = 0;
  off_t end = 0;
  while (end < size) {
    const off_t begin = ::lseek(from, end, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;  // a hole until the end
    if (begin < 0) return FailErrno("seek");
    end = ::lseek(from, begin, SEEK_HOLE);
    if (end < 0) return FailErrno("seek");
    KATA_TRY(CopyExtent(from, to, begin, end, buffer.get(), room));
    copied += static_cast<uint64_t>(end - begin);
  }
  if (end < size && ::ftruncate(to, size) != 0) return FailErrno("truncate");
  return copied;
}

// The owner first: giving a file away takes its id bits. `made` is what it is.
Result<void> GiveTo(int fd, const struct stat& made, const struct stat& wanted) {
  if ((made.st_uid != wanted.st_uid || made.st_gid != wanted.st_gid) &&
      ::fchown(fd, wanted.st_uid, wanted.st_gid) != 0) {
    return FailErrno("chown");
  }
  if ((made.st_mode & kModeBits) != (wanted.st_mode & kModeBits) &&
      ::fchmod(fd, wanted.st_mode & kModeBits) != 0) {
    return FailErrno("chmod");
  }
  return {};
}

// By its descriptor as far as that goes: on a shared directory each look at a name is a request.
Result<FileCopied> CopyRegular(int from, int to, const std::string& name,
                               const struct stat& status) {
  const sys::UniqueFd source(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!source) return FailErrno("open");
  const sys::UniqueFd target(::openat(to, name.c_str(),
                                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                      status.st_mode & kModeBits & ~kIdBits));
  if (!target) return FailErrno("create");
  struct stat made{};
  if (::fstat(target.get(), &made) != 0) return FailErrno("stat");
  FileCopied copied{.bytes = KATA_TRY(CopyContent(source.get(), target.get(), status.st_size))};
  KATA_TRY(GiveTo(target.get(), made, status));
  // After the owner, with whose change the file's capabilities would go.
  copied.lost_attributes = KATA_TRY(CopyAttributes(PathIn(from, name), PathIn(to, name)));
  const timespec times[2] = {status.st_atim, status.st_mtim};
  if (::futimens(target.get(), times) != 0) return FailErrno("set times");
  return copied;
}

Result<void> CopySymbolicLink(int from, int to, const std::string& name) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(from, name.c_str(), target.data(), target.size());
  if (size < 0) return FailErrno("readlink");
  target.resize(static_cast<size_t>(size));
  if (::symlinkat(target.c_str(), to, name.c_str()) != 0) return FailErrno("symlink");
  return {};
}

Result<void> Make(int from, int to, const std::string& name, const struct stat& status) {
  if (S_ISLNK(status.st_mode)) return CopySymbolicLink(from, to, name);
  if (::mknodat(to, name.c_str(), status.st_mode & ~kIdBits, status.st_rdev) == 0) return {};
  return FailErrno("mknod");
}

Result<void> SetOwnerAndMode(int to, const std::string& name, const struct stat& wanted) {
  if (::fchownat(to, name.c_str(), wanted.st_uid, wanted.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno("chown");
  }
  if (S_ISLNK(wanted.st_mode) || (wanted.st_mode & kIdBits) == 0) return {};
  if (::fchmodat(to, name.c_str(), wanted.st_mode & kModeBits, 0) != 0) return FailErrno("chmod");
  return {};
}

}  // namespace

Result<FileCopied> CopyFileTo(int from, int to, const std::string& name,
                              const struct stat& status) {
  if (S_ISREG(status.st_mode)) return CopyRegular(from, to, name, status);
  KATA_TRY(Make(from, to, name, status));
  KATA_TRY(SetOwnerAndMode(to, name, status));
  FileCopied copied;
  copied.lost_attributes = KATA_TRY(CopyAttributes(PathIn(from, name), PathIn(to, name)));
  const timespec times[2] = {status.st_atim, status.st_mtim};
  if (::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno("set times");
  return copied;
}

Result<uint64_t> CopyDirectoryAttributes(int from, int to) {
  struct stat wanted{};
  struct stat made{};
  if (::fstat(from, &wanted) != 0 || ::fstat(to, &made) != 0) return FailErrno("stat");
  KATA_TRY(GiveTo(to, made, wanted));
  // A directory's own path, not a link to it.
  const std::string source = sys::DescriptorPath(from) + "/.";
  const std::string target = sys::DescriptorPath(to) + "/.";
  KATA_TRY(RemoveOtherAttributes(source, target));
  const uint64_t lost = KATA_TRY(CopyAttributes(source, target));
  const timespec times[2] = {wanted.st_atim, wanted.st_mtim};
  if (::futimens(to, times) != 0) return FailErrno("set times");
  return lost;
}

}  // namespace kata::guest
