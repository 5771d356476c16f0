// SPDX-License-Identifier: Apache-2.0
//
// upper/unpack.h - a directory made what a stream of an upper layer says (pack.h).
//
// A guest may have written the stream: nothing outside of the directory is touched whatever it
// says, and no entry gets attributes by which the host would show other files than the container
// has (attributes.h).
#pragma once

#include <time.h>

#include <cstdint>
#include <string>

#include "base/result.h"
#include "upper/stream.h"

namespace kata::upper {

struct UnpackReport {
  uint64_t files = 0;  // of all kinds, without directories and what was kept
  uint64_t bytes = 0;
  uint64_t removed = 0;
  uint64_t lost_attributes = 0;  // that the file system does not take, or nobody may put there
};

// "3 files, 20 bytes, 1 removed".
std::string Describe(const UnpackReport& report);

// Makes the directory `to`, below which nobody else may write meanwhile, what `from` says. Entries
// that it alone has and whose ctime is later than `kept_after` were put there by others, and stay
// (0: nothing stays).
// Errors  kDataLoss  the stream is damaged, or a file that it says to be kept is not there: it has
//                    to be written anew, all of it
//         of the system call that failed, with the entry's path; then `to` is something between,
//         and it can be tried again
Result<UnpackReport> Unpack(StreamReader& from, const std::string& to, const timespec& kept_after);

}  // namespace kata::upper
