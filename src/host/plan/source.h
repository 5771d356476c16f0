// SPDX-License-Identifier: Apache-2.0
//
// host/plan/source.h - what the paths of a specification are on the host.
#pragma once

#include <sys/types.h>

#include <string>

namespace kata::sandbox {

// What a path on the host is, as far as the plan cares.
enum class SourceKind { kMissing, kFile, kDirectory, kBlockDevice, kCharacterDevice };

// Follows symbolic links.
SourceKind ClassifySource(const std::string& path);

struct Source {
  SourceKind kind = SourceKind::kMissing;
  // Of the mount that it is on: MS_RDONLY, NOSUID, NODEV, NOEXEC, NOSYMFOLLOW, NODIRATIME, and one
  // of NOATIME, RELATIME and STRICTATIME.
  unsigned long mount_flags = 0;
};

Source LookAtSource(const std::string& path);
// The same for a path of another mount namespace, a descriptor; -1: this process's.
Source LookAtSourceIn(int mount_namespace, const std::string& path);

// Of the device at `path`; 0 where there is none.
dev_t DeviceNumber(const std::string& path);
// Whether a loop device of the host shows the file at `path`.
bool IsLooped(const std::string& path);
// The node below /dev of the block device with this number; empty: none.
std::string FindBlockDevice(dev_t number);

}  // namespace kata::sandbox
