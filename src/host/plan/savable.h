// SPDX-License-Identifier: Apache-2.0
//
// host/plan/savable.h - whether a sandbox can be saved while it runs, all that is in its memory and
// on its disks, and go on from there elsewhere.
//
// Deciding only, before anything is held still: what would be lost is named, with what to do.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace kata::sandbox {

// How the machine and its containers are made.
struct SavableFacts {
  bool vmm_saves = true;              // it can save a machine at all
  bool vsock = false;                 // carries the agent's channel
  bool shares_files = false;          // by virtiofs
  bool huge_or_preallocated = false;  // its memory
  size_t containers = 1;
  // Of the first of them.
  bool runs = true;                  // its first process was started, and has not ended
  bool root_on_disks = true;         // all of it, one of which can be written
  std::string root = "disk";         // what it is made of, in words
  std::vector<std::string> volumes;  // destinations of what the host has given it besides
  std::vector<std::string> execs;    // ids of those that run
};

// Errors  kFailedPrecondition  it cannot, and why
Result<void> CheckSavable(const SavableFacts& facts);

}  // namespace kata::sandbox
