// SPDX-License-Identifier: Apache-2.0
//
// host/storage/virtiofsd_features.h - what a virtiofsd can do, as it says itself.
//
// Two programs have that name: the one written in C, which came with QEMU up to 7.2 and takes its
// options as mount(8) does ("-o cache=none"), and the one written in Rust ("--cache=never"). Both
// gain and lose options with their versions, so nothing is taken from a version's number.
// Basis: virtiofsd(1); the outputs of --help of 7.2.22, 1.13.2 and 1.14.0.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"

namespace kata::storage {

struct VirtiofsdFeatures {
  enum class Kind { kC, kRust };
  using Names = std::set<std::string, std::less<>>;

  Kind kind = Kind::kRust;
  Names options;          // "shared-dir" stands for --shared-dir
  Names mount_options;    // "cache" stands for -o cache=...
  bool metadata = false;  // it knows the cache mode "metadata"

  bool Has(std::string_view option) const { return options.contains(option); }
  bool HasMountOption(std::string_view option) const { return mount_options.contains(option); }
  // For people: "written in C".
  std::string_view title() const;
};

// From the text that --help prints.
// Errors  kFailedPrecondition  no virtiofsd wrote that
Result<VirtiofsdFeatures> ParseVirtiofsdHelp(std::string_view help);

// Runs `program --help`: some milliseconds, five seconds at most.
// Errors  kNotFound, kPermissionDenied  no such program, or not executable
//         kFailedPrecondition           it is no virtiofsd, or does not run; with its words
Result<VirtiofsdFeatures> AskVirtiofsd(const std::string& program,
                                       Deadline deadline = Deadline::Never());

}  // namespace kata::storage
