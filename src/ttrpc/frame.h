// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/frame.h - frames as bytes, without I/O.
//
// A frame is a header of ten bytes (payload length, stream id, both big-endian; type; flags) and
// its payload.
// Basis: containerd/ttrpc PROTOCOL.md "Message Frame".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kata::ttrpc {

inline constexpr size_t kHeaderSize = 10;

// Types that exist today; the wire may carry any byte.
inline constexpr uint8_t kRequest = 1;
inline constexpr uint8_t kResponse = 2;
inline constexpr uint8_t kData = 3;

// A request with this flag opens a stream on which the client sends more.
inline constexpr uint8_t kFlagRemoteOpen = 0x02;

struct FrameHeader {
  uint32_t length = 0;
  uint32_t stream_id = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
};

// Puts the header's ten bytes at the end of `out`.
void AppendHeader(const FrameHeader& header, std::string& out);

struct Frame {
  FrameHeader header;
  // True for a frame longer than the bound: it is announced as soon as its header is there, its
  // payload is dropped as it comes.
  bool oversized = false;
  // Empty for an oversized frame. Points into the input or into the decoder: valid until the next
  // call of the decoder.
  std::string_view payload;
};

// Cuts a byte stream into frames, however the bytes were split. Never fails: every stream of bytes
// is a sequence of frames. Holds no more bytes than have arrived, and never more than
// `max_payload` plus a header.
class FrameDecoder {
 public:
  explicit FrameDecoder(size_t max_payload) : max_payload_(max_payload) {}

  // The next frame of `input`, from whose front the bytes used are taken; nullopt when all of
  // `input` was taken and no frame is complete.
  std::optional<Frame> Next(std::string_view& input);

  // Bytes of an incomplete frame that are held.
  size_t buffered() const { return header_size_ + body_.size(); }
  // Forgets an incomplete frame.
  void Reset();

 private:
  bool TakeHeader(std::string_view& input);

  const size_t max_payload_;
  char header_bytes_[kHeaderSize];
  size_t header_size_ = 0;
  FrameHeader header_;
  std::string body_;
  bool body_given_out_ = false;
  uint64_t to_drop_ = 0;
};

}  // namespace kata::ttrpc
