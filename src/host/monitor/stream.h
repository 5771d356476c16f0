// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/stream.h - a connection's bytes, plain or by TLS.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"

namespace kata::monitor {

// One thread's.
class Stream {
 public:
  virtual ~Stream() = default;
  // What has come, at most `most` bytes; empty at the end.
  // Errors  kDeadlineExceeded
  virtual Result<std::string> Read(size_t most, Deadline deadline) = 0;
  virtual Result<void> WriteAll(std::string_view data, Deadline deadline) = 0;
  // Says that nothing follows, so that what was written arrives whole.
  virtual void End() = 0;
};

// `socket` does not wait.
std::unique_ptr<Stream> MakePlainStream(sys::UniqueFd socket);

}  // namespace kata::monitor
