// SPDX-License-Identifier: Apache-2.0
#include "sys/files.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <memory>

#include <fmt/format.h>

namespace kata::sys {
namespace {

// Who was about to write a last file into a tree that is being removed.
constexpr int kMostNewcomers = 8;

// Removes the children of the directory `dir_fd`, which stays.
Result<void> EmptyDirectory(UniqueFd dir_fd, dev_t device, int depth) {
  constexpr int kMaxDepth = 256;
  if (depth > kMaxDepth) return Fail(Code::kOutOfRange, "remove: directories nest too deeply");
  const int fd = dir_fd.get();
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
  if (!dir) return FailErrno("fdopendir");
  (void)dir_fd.Release();
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (::unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return FailErrno("unlink", name);
    UniqueFd child(::openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) return FailErrno("open", name);
    struct stat status{};
    if (::fstat(child.get(), &status) != 0) return FailErrno("stat", name);
    if (status.st_dev != device) {
      return Fail(Code::kFailedPrecondition, fmt::format("remove \"{}\": still mounted", name));
    }
    KATA_TRY(EmptyDirectory(std::move(child), device, depth + 1));
    if (::unlinkat(fd, entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return FailErrno("rmdir", name);
    }
  }
  return {};
}

}  // namespace

Result<UniqueFd> Open(const std::string& path, int flags, mode_t mode) {
  const int fd = RetryOnEintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return FailErrno("open", path);
  return UniqueFd(fd);
}

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  const UniqueFd fd = KATA_TRY(Open(path, O_RDONLY));
  return KATA_TRY_WITHIN(fmt::format("read \"{}\"", path), ReadToEnd(fd.get(), limit));
}

Result<void> WriteFile(const std::string& path, std::string_view content, mode_t mode) {
  const UniqueFd fd = KATA_TRY(Open(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  KATA_TRY_WITHIN(fmt::format("write \"{}\"", path), WriteAll(fd.get(), content));
  return {};
}

Result<void> ReplaceFile(const std::string& path, std::string_view content, mode_t mode) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  if (auto written = WriteFile(temporary, content, mode); !written) {
    ::unlink(temporary.c_str());
    return written;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const Error error = Error::FromErrno("rename", path);
    ::unlink(temporary.c_str());
    return std::unexpected(error);
  }
  return {};
}

Result<UniqueFd> MakeTextFile(std::string_view content) {
  UniqueFd file(::memfd_create("text", MFD_CLOEXEC));
  if (!file) return FailErrno("memfd_create");
  KATA_TRY(WriteAll(file.get(), content));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return FailErrno("lseek");
  return file;
}

Result<void> WriteControl(const std::string& path, std::string_view value) {
  const UniqueFd fd = KATA_TRY(Open(path, O_WRONLY));
  const ssize_t n = RetryOnEintr([&] { return ::write(fd.get(), value.data(), value.size()); });
  if (n < 0) return FailErrno(fmt::format("write \"{}\" to", value), path);
  return {};
}

Result<void> ChangeMode(int fd, mode_t mode) {
  const std::string self = fmt::format("/proc/self/fd/{}", fd);
  if (::chmod(self.c_str(), mode) != 0) return FailErrno("chmod", self);
  return {};
}

Result<void> MakeDirs(const std::string& path, mode_t mode) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (!part.empty() && ::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      return FailErrno("mkdir", part);
    }
    if (end == std::string::npos) break;
  }
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return FailErrno("stat", path);
  if (!S_ISDIR(status.st_mode)) {
    return Fail(Code::kAlreadyExists, fmt::format("mkdir \"{}\": not a directory", path));
  }
  return {};
}

Result<void> RemoveTree(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return FailErrno("stat", path);
  }
  if (!S_ISDIR(status.st_mode)) return RemoveFile(path);
  for (int tries = 0; tries < kMostNewcomers; ++tries) {
    UniqueFd fd = KATA_TRY(Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    KATA_TRY_WITHIN(path, EmptyDirectory(std::move(fd), status.st_dev, 0));
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY) break;
  }
  return FailErrno("rmdir", path);
}

Result<void> RemoveFile(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return FailErrno("unlink", path);
  return {};
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool IsNullDevice(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

std::vector<std::string> ListDirectory(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) names.emplace_back(entry->d_name);
  std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
  return names;
}

}  // namespace kata::sys
