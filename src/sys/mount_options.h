// SPDX-License-Identifier: Apache-2.0
//
// sys/mount_options.h - the words of fstab and of the OCI specification for mount options.
//
// One table for the whole project: host and guest read options the same way.
// Basis: OCI runtime-spec config.md "Linux mount options"; mount(8), mount_setattr(2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kata::sys {

inline constexpr unsigned long kNoSymFollow = 256;  // MS_NOSYMFOLLOW, newer than this C library

struct MountOptions {
  unsigned long flags = 0;    // MS_* asked for, such as MS_RDONLY; MS_BIND and MS_REC for binds
  unsigned long cleared = 0;  // MS_* asked off, such as MS_RDONLY by "rw"; later words win
  // MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, each with or without MS_REC, in order.
  std::vector<unsigned long> propagation;
  uint64_t recursive_set = 0;    // MOUNT_ATTR_* for the mount and all below it, as "rro" asks
  uint64_t recursive_clear = 0;  // MOUNT_ATTR_* to take from them, as "rrw" asks
  bool copy_up = false;          // "tmpcopyup": a tmpfs begins with what was there before
  bool id_mapped = false;        // "idmap" or "ridmap"
  std::string data;              // every other word, for the file system, joined by commas

  bool bind() const;
  bool read_only() const;

  // Takes one word more. "defaults" and empty words change nothing.
  void Add(std::string_view word);
};

// `words` is any range of strings.
template <class Range>
MountOptions ParseMountOptions(const Range& words) {
  MountOptions options;
  for (const auto& word : words) options.Add(word);
  return options;
}

// What mount_setattr(2) takes for `options` on one mount: those of `flags` and `cleared` that
// belong to a mount and not to a file system. "rw" alone takes nothing away: a bind of a read-only
// mount stays read-only, as with runc.
struct MountAttributes {
  uint64_t set = 0;
  uint64_t clear = 0;
};
MountAttributes AttributesOf(const MountOptions& options);

// Every word that means something here, in alphabetical order; all others are a file system's.
std::vector<std::string_view> MountOptionWords();

// MS_* of a word such as "rshared"; 0 for any other word.
unsigned long PropagationFlag(std::string_view word);

}  // namespace kata::sys
