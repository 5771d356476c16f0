// SPDX-License-Identifier: Apache-2.0
//
// host/storage/overlay_table.h - which directories an overlay on the host is made of.
//
// A mount list says so; of a root that Docker or Podman has mounted, the kernel's mount table does,
// with paths that nobody has proven since. What cannot be told for sure, or what a second overlay
// of the same directories would show otherwise, is an error, whose message is the reason.
// Basis: Linux Documentation/filesystems/overlayfs.rst, proc_pid_mountinfo(5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::storage {

struct OverlayTable {
  std::vector<std::string> lowers;  // the top one first
  std::string upper;                // empty: none
  std::string work;
  bool read_only = false;

  friend bool operator==(const OverlayTable&, const OverlayTable&) = default;
};

// What overlays are that do not say so (module parameters of the kernel).
struct OverlayDefaults {
  bool redirect_dir = false;
  bool metacopy = false;
  bool index = false;
};
OverlayDefaults ReadOverlayDefaults(
    const std::string& parameters = "/sys/module/overlay/parameters");

// Of an entry of a mount list: options as mount(8) takes them.
// Errors  kUnimplemented
Result<OverlayTable> ParseOverlayOptions(const std::vector<std::string>& options,
                                         const OverlayDefaults& defaults = {});
// Of a line of mountinfo: the options of the file system as they stand there, escaped.
// Errors  kUnimplemented
Result<OverlayTable> ParseOverlaySuperOptions(std::string_view options,
                                              const OverlayDefaults& defaults = {});

// The same directories without links in their paths. Relative ones are meant in `base`; without a
// base there must be none.
// Errors  kUnimplemented  a path leads nowhere, or upper and work are not in one directory
Result<OverlayTable> ResolveOverlay(const OverlayTable& table, const std::string& base = {});

// The overlay that is mounted at `directory` in the mount namespace, a descriptor; -1: this
// process's. Its directories are found under the same paths here.
// Errors  kUnimplemented  it is none, or not all of one; mounts are below it; its directories are
//                         others by now
Result<OverlayTable> FindOverlay(const std::string& directory, int mount_namespace);

}  // namespace kata::storage
