// SPDX-License-Identifier: Apache-2.0
#include "host/storage/open_directory.h"

#include <dirent.h>
#include <fcntl.h>

#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::storage {

Result<sys::UniqueFd> OpenEntry(int directory, const std::string& name, int flags) {
  const int fd = ::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
  if (fd < 0) return FailErrno("open", name);
  return sys::UniqueFd(fd);
}

Result<std::set<std::string>> NamesIn(int directory) {
  // A descriptor of its own: readdir moves it.
  sys::UniqueFd fd = KATA_TRY(sys::Open(sys::DescriptorPath(directory), O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd.get()), ::closedir);
  if (!dir) return FailErrno("fdopendir");
  (void)fd.Release();
  std::set<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace(name);
  }
  return names;
}

Result<struct stat> StatusOf(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return FailErrno("stat");
  return status;
}

std::string Below(int directory, const std::string& name) {
  return fmt::format("{}/{}", sys::DescriptorPath(directory), name);
}

}  // namespace kata::storage
