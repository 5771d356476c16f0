// SPDX-License-Identifier: Apache-2.0
#include "upper/stream.h"

#include <endian.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include <fmt/format.h>

#include "sys/fd.h"

namespace kata::upper {
namespace {

constexpr size_t kBufferBytes = 1 << 20;

size_t Blocks(size_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

// Whole blocks, one at least.
size_t RoomFor(const Part& part) { return std::clamp(Blocks(part.bytes), kBlock, kBufferBytes); }

}  // namespace

std::unexpected<Error> DamagedStream(std::string_view what) {
  return Fail(Code::kDataLoss, fmt::format("the stream {}", what));
}

Buffer MakeBuffer(size_t bytes) {
  auto* const memory = static_cast<char*>(std::aligned_alloc(kBlock, Blocks(bytes)));
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 0, Blocks(bytes));
  return Buffer(memory);
}

StreamWriter::StreamWriter(const Part& part)
    : part_(part), room_(RoomFor(part)), buffer_(MakeBuffer(room_)) {}

Result<void> StreamWriter::Write(std::string_view data) {
  while (!data.empty()) {
    const size_t now = std::min(data.size(), room_ - filled_);
    std::memcpy(buffer_.get() + filled_, data.data(), now);
    filled_ += now;
    data.remove_prefix(now);
    if (filled_ == room_) KATA_TRY(Flush());
  }
  return {};
}

Result<void> StreamWriter::Write(const google::protobuf::MessageLite& message) {
  const std::string text = message.SerializeAsString();
  if (text.size() > kMaxMessage) {
    return Fail(Code::kOutOfRange, fmt::format("{} bytes of attributes", text.size()));
  }
  const uint32_t length = htole32(static_cast<uint32_t>(text.size()));
  KATA_TRY(Write(std::string_view(reinterpret_cast<const char*>(&length), sizeof(length))));
  return Write(text);
}

Result<uint64_t> StreamWriter::Finish() {
  const uint64_t length = written_ + filled_;
  KATA_TRY(Flush());
  return length;
}

Result<void> StreamWriter::Flush() {
  const size_t whole = Blocks(filled_);
  std::memset(buffer_.get() + filled_, 0, whole - filled_);
  if (written_ + whole > part_.bytes) {
    return Fail(Code::kResourceExhausted,
                fmt::format("more than the {} bytes that there are for it", part_.bytes));
  }
  for (size_t done = 0; done < whole;) {
    const ssize_t put = sys::RetryOnEintr([&] {
      return ::pwrite(part_.fd, buffer_.get() + done, whole - done,
                      static_cast<off_t>(part_.begin + written_ + done));
    });
    if (put < 0) return FailErrno("write");
    done += static_cast<size_t>(put);
  }
  written_ += whole;
  filled_ = 0;
  return {};
}

StreamReader::StreamReader(const Part& part)
    : part_(part), room_(RoomFor(part)), buffer_(MakeBuffer(room_)) {}

Result<void> StreamReader::Fill() {
  if (part_.bytes == 0) return DamagedStream("ends too early");
  const size_t wanted = std::min<uint64_t>(room_, part_.bytes);
  const ssize_t got = sys::RetryOnEintr([&] {
    return ::pread(part_.fd, buffer_.get(), Blocks(wanted), static_cast<off_t>(part_.begin));
  });
  if (got < 0) return FailErrno("read");
  if (got == 0) return DamagedStream("ends too early");
  at_ = 0;
  filled_ = std::min(static_cast<size_t>(got), wanted);
  part_.begin += filled_;
  part_.bytes -= filled_;
  return {};
}

Result<void> StreamReader::Read(char* to, size_t bytes) {
  while (bytes > 0) {
    if (at_ == filled_) KATA_TRY(Fill());
    const size_t now = std::min(bytes, filled_ - at_);
    std::memcpy(to, buffer_.get() + at_, now);
    at_ += now;
    to += now;
    bytes -= now;
  }
  return {};
}

Result<void> StreamReader::Read(google::protobuf::MessageLite* message) {
  uint32_t length = 0;
  KATA_TRY(Read(reinterpret_cast<char*>(&length), sizeof(length)));
  length = le32toh(length);
  if (length > kMaxMessage) return DamagedStream("has a message that is too long");
  text_.resize(length);
  KATA_TRY(Read(text_.data(), length));
  if (!message->ParseFromString(text_)) return DamagedStream("has a message that is damaged");
  return {};
}

}  // namespace kata::upper
