// SPDX-License-Identifier: Apache-2.0
//
// sys/fs_context.h - new file systems, and changed ones, an option at a time.
//
// Unlike mount(2), options are as many and as long together as they like, and the kernel says in
// words what it did not like: errors carry what it wrote into the context's log.
// Basis: fsopen(2), fspick(2), fsconfig(2), fsmount(2); Linux 5.2 or later.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

class FsContext {
 public:
  // The longest value of an option that fsconfig(2) takes.
  static constexpr size_t kMaxValue = 255;

  // A file system of `type` to be. Makes the kernel load its driver.
  // Errors  kUnimplemented  the kernel has no such file system
  static Result<FsContext> Open(const std::string& type);
  // The one that is mounted at `path`.
  // Errors  kInvalidArgument  nothing is mounted there
  static Result<FsContext> Pick(const std::string& path);

  // Errors  kInvalidArgument  the file system does not know `key`, refuses `value`, or `value` is
  //                           longer than kMaxValue
  Result<void> SetString(const std::string& key, const std::string& value);
  Result<void> SetFlag(const std::string& key);
  // Makes the file system; a detached mount of it with `attributes` (MOUNT_ATTR_*).
  Result<UniqueFd> MakeMount(uint64_t attributes);
  // Gives the file system that was picked the options that were set. With none it stays as it is,
  // and entries that its cache holds and nobody uses are looked up anew.
  Result<void> Reconfigure();

 private:
  FsContext(UniqueFd fd, std::string what) : fd_(std::move(fd)), what_(std::move(what)) {}
  // The failed call's error, with the log.
  Error Failure(std::string_view operation, int cause);

  UniqueFd fd_;
  std::string what_;  // for errors
};

// A new file system of `type` over `source` on the directory `target`, with options as fstab has
// them: words for the mount and for every file system in their places, "key=value" and all others
// for this one, in their order.
Result<void> MountNew(const std::string& type, const std::string& source,
                      std::span<const std::string> words, const std::string& target);

}  // namespace kata::sys
