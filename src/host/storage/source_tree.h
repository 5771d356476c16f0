// SPDX-License-Identifier: Apache-2.0
//
// host/storage/source_tree.h - what a container's specification names on the host, as a mount that
// is nowhere yet.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/user_namespace.h"

namespace kata::storage {

// What the owners of a volume's files are in the mount.
struct IdMapping {
  sys::IdMap uids;  // inside: on the disk, outside: in the mount
  sys::IdMap gids;
  bool recursive = false;  // what is mounted below likewise
};

// A file or directory of the host for a container.
struct Volume {
  std::string source;
  std::string destination;  // in the container; gives the share's entry its name
  std::vector<std::string> options;
  std::optional<IdMapping> ids = std::nullopt;
};

// A detached mount of what is at `path`, with all that is mounted below it where `recursive`.
// `mount_namespace` is the one that the path is meant in; -1: this process's.
// Errors  kNotFound  there is nothing
Result<sys::UniqueFd> CloneSource(const std::string& path, bool recursive, int mount_namespace);

// The same for a volume, with its ids mapped.
// Errors  kNotFound       there is nothing at its source
//         kUnimplemented  ids are to be mapped, which its file system cannot
Result<sys::UniqueFd> CloneVolume(const Volume& volume, int mount_namespace);

// The last part of a path, made harmless as a file name.
std::string BaseName(std::string path);

}  // namespace kata::storage
