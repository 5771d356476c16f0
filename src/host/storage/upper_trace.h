// SPDX-License-Identifier: Apache-2.0
//
// host/storage/upper_trace.h - what there was beside an upper layer before a guest got it
// (upper_guard.h), and taking back what the guest did there.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>

#include "base/result.h"

namespace kata::storage {

struct UpperTrace {
  // The directory that holds both, and what it was.
  std::string directory;
  uint64_t device = 0;
  uint64_t inode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0;
  std::string upper, work;        // their names in it
  std::set<std::string> entries;  // the names that there were

  friend bool operator==(const UpperTrace&, const UpperTrace&) = default;
};

// The guest's work directory, in the front end's: "work" and "index" there are the host's own.
inline constexpr const char* kGuestWork = "kata";

// Of the open directory.
Result<UpperTrace> TraceUpper(int directory, const std::string& path, const std::string& upper,
                              const std::string& work);

// Removes what the guest has made beside them, and gives the directory back its owner and mode.
// Nothing may serve the guest any more. Follows no link that it may have made.
Result<void> TakeBackUpper(int directory, const UpperTrace& trace);
// The same of the directory at its path; where there is none any more or another, nothing.
Result<void> TakeBackUpper(const UpperTrace& trace);

}  // namespace kata::storage
