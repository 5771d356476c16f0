// SPDX-License-Identifier: Apache-2.0
//
// sys/file_handle.h - the kernel's own names of files: they stay when paths change, and none comes
// again for another file of the same file system.
//
// Basis: name_to_handle_at(2), open_by_handle_at(2).
#pragma once

#include <compare>
#include <string>

#include "base/result.h"
#include "sys/fd.h"

struct file_handle;

namespace kata::sys {

class FileHandle {
 public:
  // Of an open file, also one open with O_PATH, or of what is called `name` in the open directory,
  // be it a symbolic link.
  // Errors  kUnimplemented  its file system gives none
  static Result<FileHandle> Of(int fd, const std::string& name = {});
  // What the kernel has written somewhere.
  explicit FileHandle(const file_handle& raw);

  // Opens the file; `mount_fd` is open on its file system. Needs CAP_DAC_READ_SEARCH.
  // Errors  ESTALE, as kInternal  it is no longer
  Result<UniqueFd> Open(int mount_fd, int flags) const;

  // A key for maps.
  const std::string& bytes() const { return bytes_; }
  auto operator<=>(const FileHandle&) const = default;

 private:
  std::string bytes_;  // a file_handle
};

}  // namespace kata::sys
