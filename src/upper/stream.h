// SPDX-License-Identifier: Apache-2.0
//
// upper/stream.h - messages and bytes, one after the other, in a part of a disk.
//
// A writer on a guest's block device goes round the guest's cache, so that the host sees what was
// written without a flush. Nobody else writes there meanwhile; what is read may be anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include <google/protobuf/message_lite.h>

#include "base/result.h"

namespace kata::upper {

// Of everything on disks here.
inline constexpr size_t kBlock = 4096;
inline constexpr size_t kMaxMessage = 1 << 20;

// Of one that does not say what it should: kDataLoss.
std::unexpected<Error> DamagedStream(std::string_view what);

// A part of a file or block device.
struct Part {
  int fd = -1;
  uint64_t begin = 0;  // a multiple of kBlock
  uint64_t bytes = 0;
};

struct FreeBuffer {
  void operator()(char* buffer) const { ::free(buffer); }
};
// Aligned as direct input and output wants it.
using Buffer = std::unique_ptr<char, FreeBuffer>;
Buffer MakeBuffer(size_t bytes);

class StreamWriter {
 public:
  explicit StreamWriter(const Part& part);
  // Errors  kResourceExhausted  the part is too small
  Result<void> Write(std::string_view data);
  // Errors  kOutOfRange  longer than kMaxMessage
  Result<void> Write(const google::protobuf::MessageLite& message);
  // Writes what is left, and returns the length of it all.
  Result<uint64_t> Finish();

 private:
  Result<void> Flush();

  Part part_;
  size_t room_;
  Buffer buffer_;
  size_t filled_ = 0;
  uint64_t written_ = 0;
};

class StreamReader {
 public:
  // `part` ends where the stream does.
  explicit StreamReader(const Part& part);
  // Errors  kDataLoss  the stream ends before, or is of no such message
  Result<void> Read(char* to, size_t bytes);
  Result<void> Read(google::protobuf::MessageLite* message);

 private:
  Result<void> Fill();

  Part part_;
  size_t room_;
  Buffer buffer_;
  size_t at_ = 0;
  size_t filled_ = 0;
  std::string text_;
};

}  // namespace kata::upper
