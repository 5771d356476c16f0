// SPDX-License-Identifier: Apache-2.0
//
// The decoder cuts any bytes into the same frames, however they arrive, and holds no more than has
// arrived and fits its bound.
#include <string>
#include <string_view>
#include <vector>

#include "fuzz_support.h"
#include "ttrpc/frame.h"

namespace {

using kata::fuzz::Check;
using namespace kata::ttrpc;

constexpr size_t kBound = 200;

// The frames of `bytes` given in pieces, encoded again.
std::string Decode(std::string_view bytes, size_t piece) {
  FrameDecoder decoder(kBound);
  std::string frames;
  while (!bytes.empty()) {
    std::string_view input = bytes.substr(0, piece);
    bytes.remove_prefix(input.size());
    while (const auto frame = decoder.Next(input)) {
      Check(frame->payload.size() == (frame->oversized ? 0 : frame->header.length));
      Check(frame->oversized == (frame->header.length > kBound));
      AppendHeader(frame->header, frames);
      frames += frame->payload;
    }
    Check(input.empty());
    Check(decoder.buffered() <= kBound + kHeaderSize);
  }
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kata::fuzz::Bytes bytes(data, size);
  const size_t piece = bytes.TakeByte() + 1u;
  const std::string_view stream = bytes.Rest();
  Check(Decode(stream, piece) == Decode(stream, stream.size() + 1));
  return 0;
}
