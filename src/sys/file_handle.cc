// SPDX-License-Identifier: Apache-2.0
#include "sys/file_handle.h"

#include <fcntl.h>

#include <array>
#include <cstring>

namespace kata::sys {
namespace {

// A file_handle with room for the longest one.
struct Storage {
  alignas(file_handle) std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> bytes{};
  file_handle* handle() { return reinterpret_cast<file_handle*>(bytes.data()); }
};

}  // namespace

Result<FileHandle> FileHandle::Of(int fd, const std::string& name) {
  Storage storage;
  storage.handle()->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  if (::name_to_handle_at(fd, name.c_str(), storage.handle(), &mount_id,
                          name.empty() ? AT_EMPTY_PATH : 0) != 0) {
    return FailErrno("name_to_handle_at", name);
  }
  return FileHandle(*storage.handle());
}

FileHandle::FileHandle(const file_handle& raw)
    : bytes_(reinterpret_cast<const char*>(&raw), sizeof raw + raw.handle_bytes) {}

Result<UniqueFd> FileHandle::Open(int mount_fd, int flags) const {
  Storage storage;
  std::memcpy(storage.bytes.data(), bytes_.data(), bytes_.size());
  UniqueFd fd(::open_by_handle_at(mount_fd, storage.handle(), flags | O_CLOEXEC));
  if (!fd) return FailErrno("open_by_handle_at");
  return fd;
}

}  // namespace kata::sys
