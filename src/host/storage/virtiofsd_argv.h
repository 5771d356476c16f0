// SPDX-License-Identifier: Apache-2.0
//
// host/storage/virtiofsd_argv.h - a virtiofsd's command line. Deciding only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/storage/virtiofsd_features.h"

namespace kata::storage {

struct VirtiofsdSpec {
  std::string program;           // absolute path
  std::string shared_directory;  // absolute path
  std::string run_directory;     // holds the socket while the two sides find each other
  std::string cache = "auto";    // auto, always, never, metadata
  // The guest may set and see trusted.* attributes, as the upper layer of an overlay needs.
  bool trusted_attributes = false;
  // Behind our own, and so before them where both are given: in the words of either program; what
  // this one calls otherwise is translated, what it does not know it gets as it is, and refuses.
  std::vector<std::string> extra_args;
};

// The command line, the listening socket being descriptor 3. `max_files` is how many the daemon may
// hold open.
//
// Root file systems and volumes are mounts below the directory: submounts are announced, or their
// inode numbers would collide in the guest.
//
// By itself the cache mode "auto" forgets a file's pages whenever it is opened, so a program is
// read again each time it is run. The daemon in C has a timeout for names and attributes; with it,
// pages are kept instead, as long as a file's size and time of change stay the same: what changes
// on the host is seen within the timeout, a tenth of a second, which is also earlier than by "auto"
// itself.
//
// Errors  kInvalidArgument  this daemon has no such cache mode; an extra one says what is shared,
// or
//                           on which socket
Result<std::vector<std::string>> VirtiofsdArguments(const VirtiofsdSpec& spec,
                                                    const VirtiofsdFeatures& features,
                                                    uint64_t max_files);

// What this daemon is, and what the cache mode means with it, for people: one clause.
std::string WhatFollows(const VirtiofsdFeatures& features, std::string_view cache);

}  // namespace kata::storage
