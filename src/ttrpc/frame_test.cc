// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/frame.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace kata::ttrpc {
namespace {

std::string FrameBytes(uint32_t id, uint8_t type, std::string_view payload) {
  std::string bytes;
  AppendHeader(
      {.length = static_cast<uint32_t>(payload.size()), .stream_id = id, .type = type, .flags = 0},
      bytes);
  return bytes.append(payload);
}

struct Seen {
  uint32_t id;
  uint8_t type;
  bool oversized;
  std::string payload;
  bool operator==(const Seen&) const = default;
};

void Feed(FrameDecoder& decoder, std::string_view bytes, std::vector<Seen>& seen) {
  while (const auto frame = decoder.Next(bytes)) {
    seen.push_back({frame->header.stream_id, frame->header.type, frame->oversized,
                    std::string(frame->payload)});
  }
  EXPECT_TRUE(bytes.empty());
}

TEST(Frame, HeaderIsTenBytesBigEndian) {
  std::string bytes;
  AppendHeader({.length = 0x00010203, .stream_id = 0xa0b0c0d1, .type = 2, .flags = 4}, bytes);
  EXPECT_EQ(bytes, std::string("\x00\x01\x02\x03\xa0\xb0\xc0\xd1\x02\x04", 10));
}

TEST(FrameDecoder, FindsTheSameFramesHoweverTheBytesAreSplit) {
  const std::string bytes = FrameBytes(1, kRequest, "first") + FrameBytes(3, kData, "") +
                            FrameBytes(5, kResponse, std::string(300, 'x'));
  const std::vector<Seen> expected = {{1, kRequest, false, "first"},
                                      {3, kData, false, ""},
                                      {5, kResponse, false, std::string(300, 'x')}};
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameDecoder decoder(1000);
    std::vector<Seen> seen;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      Feed(decoder, std::string_view(bytes).substr(at, piece), seen);
    }
    EXPECT_EQ(seen, expected) << "pieces of " << piece;
    std::string_view nothing;
    EXPECT_FALSE(decoder.Next(nothing));
    EXPECT_EQ(decoder.buffered(), 0u);
  }
}

TEST(FrameDecoder, AnnouncesAnOversizedFrameAtItsHeaderAndDropsItsPayload) {
  FrameDecoder decoder(8);
  std::vector<Seen> seen;
  const std::string bytes = FrameBytes(1, kRequest, std::string(100, 'x'));
  Feed(decoder, std::string_view(bytes).substr(0, kHeaderSize), seen);
  EXPECT_EQ(seen, (std::vector<Seen>{{1, kRequest, true, ""}}));
  Feed(decoder, std::string_view(bytes).substr(kHeaderSize), seen);
  Feed(decoder, FrameBytes(3, kRequest, "12345678"), seen);
  EXPECT_EQ(seen, (std::vector<Seen>{{1, kRequest, true, ""}, {3, kRequest, false, "12345678"}}));
}

TEST(FrameDecoder, HoldsNoMoreThanHasArrived) {
  FrameDecoder decoder(4 << 20);
  std::string bytes;
  AppendHeader({.length = 4 << 20, .stream_id = 1, .type = kRequest, .flags = 0}, bytes);
  bytes += "abc";
  std::vector<Seen> seen;
  Feed(decoder, bytes, seen);
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(decoder.buffered(), kHeaderSize + 3);
}

TEST(FrameDecoder, HoldsNothingOfTheLargestPossibleOversizedFrame) {
  FrameDecoder decoder(4 << 20);
  const std::string chunk(1 << 20, '\xff');
  std::vector<Seen> seen;
  for (int i = 0; i < 100; ++i) {
    Feed(decoder, chunk, seen);
    EXPECT_EQ(decoder.buffered(), 0u);
  }
  EXPECT_EQ(seen, (std::vector<Seen>{{0xffffffff, 0xff, true, ""}}));
}

TEST(FrameDecoder, ResetForgetsAnIncompleteFrame) {
  FrameDecoder decoder(1000);
  std::vector<Seen> seen;
  Feed(decoder, FrameBytes(1, kRequest, "cut off").substr(0, 12), seen);
  decoder.Reset();
  Feed(decoder, FrameBytes(1, kRequest, "whole"), seen);
  EXPECT_EQ(seen, (std::vector<Seen>{{1, kRequest, false, "whole"}}));
}

}  // namespace
}  // namespace kata::ttrpc
