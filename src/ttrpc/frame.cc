// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/frame.h"

#include <algorithm>
#include <cstring>

namespace kata::ttrpc {
namespace {

// A buffer that one large frame has grown is given back, so that an idle connection costs little.
constexpr size_t kKeptBuffer = 16 << 10;

uint32_t ReadBigEndian(const char* bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

void AppendBigEndian(uint32_t value, std::string& out) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

}  // namespace

void AppendHeader(const FrameHeader& header, std::string& out) {
  AppendBigEndian(header.length, out);
  AppendBigEndian(header.stream_id, out);
  out += static_cast<char>(header.type);
  out += static_cast<char>(header.flags);
}

void FrameDecoder::Reset() {
  header_size_ = 0;
  to_drop_ = 0;
  body_given_out_ = false;
  body_.clear();
  if (body_.capacity() > kKeptBuffer) body_.shrink_to_fit();
}

bool FrameDecoder::TakeHeader(std::string_view& input) {
  const size_t taken = std::min(kHeaderSize - header_size_, input.size());
  std::copy_n(input.data(), taken, header_bytes_ + header_size_);
  input.remove_prefix(taken);
  header_size_ += taken;
  if (header_size_ < kHeaderSize) return false;
  header_ = {.length = ReadBigEndian(header_bytes_),
             .stream_id = ReadBigEndian(header_bytes_ + 4),
             .type = static_cast<uint8_t>(header_bytes_[8]),
             .flags = static_cast<uint8_t>(header_bytes_[9])};
  return true;
}

std::optional<Frame> FrameDecoder::Next(std::string_view& input) {
  if (body_given_out_) Reset();
  const size_t dropped = static_cast<size_t>(std::min<uint64_t>(to_drop_, input.size()));
  input.remove_prefix(dropped);
  to_drop_ -= dropped;
  if (to_drop_ > 0) return std::nullopt;

  if (header_size_ < kHeaderSize) {
    if (!TakeHeader(input)) return std::nullopt;
    if (header_.length > max_payload_) {
      header_size_ = 0;
      to_drop_ = header_.length;
      return Frame{.header = header_, .oversized = true, .payload = {}};
    }
  }
  if (body_.empty() && input.size() >= header_.length) {
    const std::string_view payload = input.substr(0, header_.length);
    input.remove_prefix(header_.length);
    header_size_ = 0;
    return Frame{.header = header_, .oversized = false, .payload = payload};
  }
  const size_t taken = std::min(header_.length - body_.size(), input.size());
  body_.append(input.data(), taken);
  input.remove_prefix(taken);
  if (body_.size() < header_.length) return std::nullopt;
  body_given_out_ = true;
  return Frame{.header = header_, .oversized = false, .payload = body_};
}

}  // namespace kata::ttrpc
