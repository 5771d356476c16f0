// SPDX-License-Identifier: Apache-2.0
//
// host/storage/direct_volumes.h - volumes that are disks of the machine although their path is a
// directory of the host: a storage driver has said so beforehand, by `kata-runtime direct-volume`.
//
//   <root>/<base64url of the volume's path>/mountInfo.json   what the disk is
//   <root>/<base64url of the volume's path>/<sandbox id>     empty: who has it
//
// Basis: Kata Containers' docs/design/direct-blk-device-assignment.md, whose files these are.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::storage {

struct DirectVolume {
  std::string device;   // a block device of the host, or a file with a file system
  std::string fs_type;  // ext4, ...
  std::vector<std::string> options;
  std::optional<gid_t> group;  // that its files are given to
  bool only_on_mismatch = false;

  bool operator==(const DirectVolume&) const = default;
};

class DirectVolumes {
 public:
  static constexpr const char* kRoot = "/run/kata-containers/shared/direct-volumes";

  DirectVolumes() : DirectVolumes(kRoot) {}
  explicit DirectVolumes(std::string root) : root_(std::move(root)) {}

  // What is at `volume`, the path of a mount's source. None: an ordinary directory.
  // Errors  kInvalidArgument  its mountInfo.json is not one
  Result<std::optional<DirectVolume>> Find(const std::string& volume) const;
  // `mount_info` is the JSON text.
  // Errors  kInvalidArgument  it is none, or the path is not absolute
  //         kAlreadyExists    there is one for this path
  Result<void> Add(const std::string& volume, const std::string& mount_info) const;
  // What is not there is fine.
  Result<void> Remove(const std::string& volume) const;

  // Writes down that a sandbox has it.
  Result<void> AddUser(const std::string& volume, const std::string& sandbox_id) const;
  void RemoveUser(const std::string& volume, const std::string& sandbox_id) const;
  // The sandboxes that have it, or had it when their shim was killed.
  // Errors  kNotFound  no such volume
  Result<std::vector<std::string>> UsersOf(const std::string& volume) const;

 private:
  std::string DirectoryOf(const std::string& volume) const;
  std::string root_;
};

// Errors  kInvalidArgument  not the JSON of a block volume
Result<DirectVolume> ParseDirectVolume(std::string_view text);
// With "-" and "_", and padded.
std::string Base64Url(std::string_view bytes);

}  // namespace kata::storage
