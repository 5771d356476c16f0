// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/copy_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr mode_t kPermissions = 07777;

// The components of `path` below `base`; at least one.
Result<std::vector<std::string>> SplitBelow(std::string_view base, std::string_view path) {
  const auto refuse = [&](std::string_view why) {
    return Fail(Code::kInvalidArgument, fmt::format("copy file \"{}\": {}", path, why));
  };
  if (path.size() >= PATH_MAX || path.find('\0') != std::string_view::npos) {
    return refuse("not a path");
  }
  if (!path.starts_with(base) || path.size() <= base.size() || path[base.size()] != '/') {
    return refuse(fmt::format("not below {}", base));
  }
  std::vector<std::string> parts;
  std::string_view rest = path.substr(base.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view part = rest.substr(0, rest.find('/'));
    rest.remove_prefix(part.size());
    if (part == "..") return refuse("\"..\" in it");
    if (!part.empty() && part != ".") parts.emplace_back(part);
  }
  if (parts.empty()) return refuse("names the directory itself");
  return parts;
}

Result<sys::UniqueFd> OpenDirectory(int parent, const std::string& name) {
  sys::UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return FailErrno("open directory", name);
  return fd;
}

// The directory that the last component belongs into.
Result<sys::UniqueFd> OpenParent(const std::string& base, const std::vector<std::string>& parts,
                                 mode_t mode) {
  KATA_TRY(sys::MakeDirs(base));
  sys::UniqueFd parent = KATA_TRY(sys::Open(base, O_RDONLY | O_DIRECTORY));
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (::mkdirat(parent.get(), parts[i].c_str(), mode) != 0 && errno != EEXIST) {
      return FailErrno("mkdir", parts[i]);
    }
    parent = KATA_TRY(OpenDirectory(parent.get(), parts[i]));
  }
  return parent;
}

Result<void> SetOwnerAndMode(int fd, const agent::CopyFileRequest& request) {
  const auto uid = static_cast<uid_t>(request.uid());
  const auto gid = static_cast<gid_t>(request.gid());
  if (::fchown(fd, uid, gid) != 0) return FailErrno("chown", request.path());
  // After the owner, whose change clears set-id bits.
  if (::fchmod(fd, request.file_mode() & kPermissions) != 0) {
    return FailErrno("chmod", request.path());
  }
  return {};
}

Result<void> WriteAt(int fd, std::string_view data, off_t offset) {
  while (!data.empty()) {
    const ssize_t n =
        sys::RetryOnEintr([&] { return ::pwrite(fd, data.data(), data.size(), offset); });
    if (n < 0) return FailErrno("write");
    data.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  return {};
}

// A container that has the directory as a volume can put anything under the name meanwhile, such
// as a fifo, whose opening would wait for a reader for ever.
Result<sys::UniqueFd> OpenTemporary(int parent, const std::string& name, bool begin) {
  if (begin && ::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) {
    return FailErrno("unlink", name);
  }
  const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (begin ? O_EXCL : 0);
  sys::UniqueFd file(::openat(parent, name.c_str(), flags, 0600));
  if (!file) return FailErrno("open", name);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return FailErrno("stat", name);
  if (!S_ISREG(status.st_mode)) {
    return Fail(Code::kInvalidArgument, fmt::format("copy file \"{}\": not a file", name));
  }
  return file;
}

Result<void> CopyRegular(int parent, const std::string& name,
                         const agent::CopyFileRequest& request) {
  const int64_t size = request.file_size();
  const int64_t offset = request.offset();
  const auto length = static_cast<int64_t>(request.data().size());
  if (size < 0 || offset < 0 || offset > size || length > size - offset) {
    return Fail(Code::kInvalidArgument,
                fmt::format("copy file \"{}\": {} bytes at {} in a file of {}", request.path(),
                            length, offset, size));
  }
  const std::string temporary = name + ".tmp";
  const sys::UniqueFd file = KATA_TRY(OpenTemporary(parent, temporary, offset == 0));
  KATA_TRY(WriteAt(file.get(), request.data(), offset));
  if (offset + length < size) return {};
  KATA_TRY(SetOwnerAndMode(file.get(), request));
  if (::renameat(parent, temporary.c_str(), parent, name.c_str()) != 0) {
    return FailErrno("rename", temporary);
  }
  return {};
}

Result<void> MakeDirectory(int parent, const std::string& name,
                           const agent::CopyFileRequest& request) {
  if (::mkdirat(parent, name.c_str(), 0700) != 0 && errno != EEXIST) {
    return FailErrno("mkdir", request.path());
  }
  const sys::UniqueFd directory = KATA_TRY(OpenDirectory(parent, name));
  return SetOwnerAndMode(directory.get(), request);
}

Result<void> MakeSymlink(int parent, const std::string& name,
                         const agent::CopyFileRequest& request) {
  const std::string& target = request.data();
  if (target.empty() || target.size() >= PATH_MAX || target.find('\0') != std::string::npos) {
    return Fail(Code::kInvalidArgument,
                fmt::format("copy file \"{}\": not a link's target", request.path()));
  }
  const std::string temporary = name + ".tmp";
  if (::unlinkat(parent, temporary.c_str(), 0) != 0 && errno != ENOENT) {
    return FailErrno("unlink", temporary);
  }
  if (::symlinkat(target.c_str(), parent, temporary.c_str()) != 0) {
    return FailErrno("symlink", request.path());
  }
  const auto uid = static_cast<uid_t>(request.uid());
  const auto gid = static_cast<gid_t>(request.gid());
  if (::fchownat(parent, temporary.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno("chown", request.path());
  }
  if (::renameat(parent, temporary.c_str(), parent, name.c_str()) != 0) {
    return FailErrno("rename", temporary);
  }
  return {};
}

}  // namespace

Result<void> CopyFile(const std::string& base, const agent::CopyFileRequest& request) {
  const std::vector<std::string> parts = KATA_TRY(SplitBelow(base, request.path()));
  const mode_t dir_mode = request.dir_mode() == 0 ? 0755 : request.dir_mode() & kPermissions;
  const sys::UniqueFd parent = KATA_TRY(OpenParent(base, parts, dir_mode));
  switch (request.file_mode() & S_IFMT) {
    case 0:
    case S_IFREG:
      return CopyRegular(parent.get(), parts.back(), request);
    case S_IFDIR:
      return MakeDirectory(parent.get(), parts.back(), request);
    case S_IFLNK:
      return MakeSymlink(parent.get(), parts.back(), request);
    default:
      return Fail(Code::kInvalidArgument,
                  fmt::format("copy file \"{}\": mode {:o} is no file, directory or link",
                              request.path(), request.file_mode()));
  }
}

Result<void> RemoveCopy(const std::string& base, const std::string& path) {
  const std::vector<std::string> parts = KATA_TRY(SplitBelow(base, path));
  sys::UniqueFd parent(::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (size_t i = 0; parent && i + 1 < parts.size(); ++i) {
    parent.Reset(
        ::openat(parent.get(), parts[i].c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!parent) {
    if (errno == ENOENT) return {};
    return FailErrno("open directory", path);
  }
  const char* const name = parts.back().c_str();
  if (::unlinkat(parent.get(), name, 0) == 0 || errno == ENOENT) return {};
  if (errno == EISDIR && ::unlinkat(parent.get(), name, AT_REMOVEDIR) == 0) return {};
  return FailErrno("remove", path);
}

}  // namespace kata::guest
