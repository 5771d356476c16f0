// SPDX-License-Identifier: Apache-2.0
//
// host/storage/root_check.h - what is wrong with a root file system, before a machine is booted for
// it.
//
// The guest finds all of this too, since only it can be sure; but a machine takes a second to boot,
// and a caller's mistake is told at once. Whatever cannot be decided from the host passes.
// Basis: OCI runtime-spec config.md "Root", "Mounts", "Process".
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace kata::storage {

// How a container will use its root file system.
struct RootUse {
  struct Mount {
    std::string destination;
    bool kernel = false;  // the kernel's files, which the image must not redirect
    bool files = false;   // brings files of its own, programs perhaps
  };
  std::string program;      // process.args[0]
  std::string cwd;          // of the process
  std::string search_path;  // $PATH of the process
  std::vector<Mount> mounts;
  bool hooks = false;  // programs of the host may change the files before the process starts
};

// `rootfs` is a directory on the host. Names in it are resolved as the container would resolve
// them. Errors  kInvalidArgument  a mount of the kernel's files over a symbolic link, or a mount
// whose
//                           destination leads round in circles
//         kNotFound         the program does not exist; worded as callers of runc know it
Result<void> CheckRoot(const std::string& rootfs, const RootUse& use);

}  // namespace kata::storage
