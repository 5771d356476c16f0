// SPDX-License-Identifier: Apache-2.0
//
// sys/root_dir.h - names inside a container's root, seen from outside of it, by host and guest.
//
// An image is hostile: any component may be a symbolic link to anywhere. Every name is resolved as
// the container would resolve it, never leaving its root, and what comes back is a descriptor.
// Basis: openat2(2), RESOLVE_IN_ROOT.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

class RootDir {
 public:
  // `fd` is the directory that the container will see as "/".
  explicit RootDir(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }

  Result<UniqueFd> Open(const std::string& path, int flags) const;
  // The same, for names that must not contain symbolic links at all (kInvalidArgument, ELOOP).
  Result<UniqueFd> OpenStrict(const std::string& path, int flags) const;

  // mkdir -p; an O_PATH descriptor of the directory. Follows symbolic links, dangling ones too, as
  // far as they stay inside.
  Result<UniqueFd> MakeDirs(const std::string& path) const;
  // An O_PATH descriptor of what is at `path`; an empty file is made there, with its parents, if
  // there is nothing.
  Result<UniqueFd> MakeFile(const std::string& path) const;
  // The parent directory of `path`, made where it is missing, and the last component.
  struct Place {
    UniqueFd parent;
    std::string name;
  };
  Result<Place> MakeParent(const std::string& path) const;

  // The name of an open file as the container sees it, such as "/proc/stat".
  Result<std::string> NameOf(int fd) const;

 private:
  Result<std::string> FollowDangling(const Place& place) const;

  UniqueFd fd_;
};

// `path` with one leading slash and without empty, "." and trailing components; ".." stays, since
// what it means depends on symbolic links.
std::string CleanPath(std::string_view path);

}  // namespace kata::sys
