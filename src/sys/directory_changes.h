// SPDX-License-Identifier: Apache-2.0
//
// sys/directory_changes.h - hearing of what changes in directories, and whose process did it.
//
// A mark is on a directory itself, not on what is below. Needs CAP_SYS_ADMIN. Not thread-safe.
// Basis: fanotify(7), FAN_REPORT_DFID_NAME; Linux 5.9 or later.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/file_handle.h"

namespace kata::sys {

struct DirectoryChange {
  uint64_t what = 0;                    // FAN_CREATE and the like, several where they came together
  pid_t pid = 0;                        // of the process as this one sees it; 0: it does not
  std::optional<FileHandle> directory;  // none where changes were lost (FAN_Q_OVERFLOW)
  std::string name;                     // in it; "." for itself
  uint64_t file_system = 0;             // of the directory, as FileSystemOf
};

class DirectoryChanges {
 public:
  // Errors  kResourceExhausted  there are as many listeners as fs.fanotify.max_user_groups allows
  static Result<DirectoryChanges> Open();

  // Readable when there are changes.
  int fd() const { return fd_.get(); }
  // Changes in the open directory are told from here on: entries that come and go, the directory's
  // own end, attributes of both. Again is fine.
  // Errors  kUnimplemented  its file system does not tell
  Result<void> Watch(int directory);
  // No longer. What was told of it before is still to be read.
  void Unwatch(int directory);
  // The number by which an open directory's file system goes: handles are its own.
  static Result<uint64_t> FileSystemOf(int directory);
  // What there is; does not block. Those of one process in one place may have become one.
  Result<std::vector<DirectoryChange>> Read();

 private:
  explicit DirectoryChanges(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace kata::sys
