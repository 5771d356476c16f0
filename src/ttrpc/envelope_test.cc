// SPDX-License-Identifier: Apache-2.0
//
// The hand-written envelopes against the code that protoc generates from proto/ttrpc.proto.
#include "ttrpc/envelope.h"

#include <string>

#include <gtest/gtest.h>

#include "proto/ttrpc.pb.h"
#include "ttrpc/frame.h"

namespace kata::ttrpc {
namespace {

struct Body {
  Frame frame;
  std::string payload;
};

Body Decode(const std::string& bytes) {
  FrameDecoder decoder(kMaxStatusMessage * 2);
  std::string_view input = bytes;
  const auto frame = decoder.Next(input);
  EXPECT_TRUE(frame && !frame->oversized && input.empty());
  return {*frame, std::string(frame->payload)};
}

TEST(Envelope, GeneratedCodeReadsOurRequest) {
  const Body body = Decode(EncodeRequest(7, "svc", "Method", std::string("\0\xff", 2),
                                         std::chrono::seconds(2), {{"key", "value"}, {"k", ""}}));
  EXPECT_EQ(body.frame.header.stream_id, 7u);
  EXPECT_EQ(body.frame.header.type, kRequest);
  EXPECT_EQ(body.frame.header.flags, 0);
  Request request;
  ASSERT_TRUE(request.ParseFromString(body.payload));
  EXPECT_EQ(request.service(), "svc");
  EXPECT_EQ(request.method(), "Method");
  EXPECT_EQ(request.payload(), std::string("\0\xff", 2));
  EXPECT_EQ(request.timeout_nano(), 2'000'000'000);
  ASSERT_EQ(request.metadata_size(), 2);
  EXPECT_EQ(request.metadata(0).key(), "key");
  EXPECT_EQ(request.metadata(0).value(), "value");
}

TEST(Envelope, WeReadTheGeneratedRequest) {
  Request wire;
  wire.set_service("svc");
  wire.set_method("Method");
  wire.set_payload("payload");
  wire.set_timeout_nano(-5);
  wire.add_metadata()->set_key("only a key");
  const auto request = ParseRequest(wire.SerializeAsString());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->service, "svc");
  EXPECT_EQ(request->method, "Method");
  EXPECT_EQ(request->payload, "payload");
  EXPECT_EQ(request->timeout.count(), -5);
  EXPECT_EQ(request->metadata, (Metadata{{"only a key", ""}}));
}

TEST(Envelope, ARequestWithTooManyPairsDoesNotParse) {
  Request wire;
  for (size_t i = 0; i < kMaxMetadata; ++i) wire.add_metadata();
  EXPECT_TRUE(ParseRequest(wire.SerializeAsString()));
  wire.add_metadata();
  EXPECT_FALSE(ParseRequest(wire.SerializeAsString()));
}

TEST(Envelope, GeneratedCodeReadsOurStatus) {
  Response response;
  ASSERT_TRUE(response.ParseFromString(
      Decode(EncodeStatus(9, Error(Code::kNotFound, "no such thing"))).payload));
  EXPECT_EQ(response.status().code(), 5);
  EXPECT_EQ(response.status().message(), "no such thing");
}

TEST(Envelope, AnErrorNeverTravelsAsSuccess) {
  Response response;
  ASSERT_TRUE(
      response.ParseFromString(Decode(EncodeStatus(9, Error(Code::kOk, "confused"))).payload));
  EXPECT_EQ(response.status().code(), 2);
}

TEST(Envelope, AStatusOfCodeOkIsSuccess) {
  Response wire;
  wire.mutable_status();
  wire.set_payload("p");
  EXPECT_EQ(ParseResponse(wire.SerializeAsString()).value(), "p");
}

TEST(Envelope, CodesOutsideTheEnumAreUnknown) {
  for (const int code : {17, 1000, -1}) {
    Response wire;
    wire.mutable_status()->set_code(code);
    wire.mutable_status()->set_message("m");
    const auto answer = ParseResponse(wire.SerializeAsString());
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), Code::kUnknown);
    EXPECT_EQ(answer.error().message(), "m");
  }
}

TEST(Envelope, UnknownFieldsAreSkipped) {
  const std::string status_with_details("\x08\x05\x12\x01m\x1a\x03\x0a\x01t", 10);
  std::string body("\x0a", 1);
  body += static_cast<char>(status_with_details.size());
  body += status_with_details + std::string("\x98\x06\x01", 3);
  const auto answer = ParseResponse(body);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kNotFound);
  EXPECT_EQ(answer.error().message(), "m");
}

TEST(Envelope, GarbageDoesNotParse) {
  for (const std::string& body :
       {std::string("\x0a\xff\xff\xff\xff\x0f", 6), std::string("\x0a\x05x", 3),
        std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11), std::string("\0\0", 2),
        std::string("\x0a", 1), std::string("\x0b", 1)}) {
    EXPECT_FALSE(ParseRequest(body));
    EXPECT_EQ(ParseResponse(body).error().code(), Code::kInternal);
  }
}

TEST(ValidUtf8, KeepsWhatIsValid) {
  const std::string text = "ascii \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf";
  EXPECT_EQ(ValidUtf8(text, 100), text);
}

TEST(ValidUtf8, ReplacesEachByteThatIsNot) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(ValidUtf8("a\xff"
                      "b",
                      100),
            "a" + r + "b");
  EXPECT_EQ(ValidUtf8("\xc0\xaf", 100), r + r);
  EXPECT_EQ(ValidUtf8("\xed\xa0\x80", 100), r + r + r);
  EXPECT_EQ(ValidUtf8("\xf4\x90\x80\x80", 100), r + r + r + r);
  EXPECT_EQ(ValidUtf8("cut \xe2\x82", 100), "cut " + r + r);
}

TEST(ValidUtf8, CutsBetweenCharacters) {
  EXPECT_EQ(ValidUtf8("ab\xe2\x82\xac", 4), "ab");
  EXPECT_EQ(ValidUtf8("ab\xe2\x82\xac", 5), "ab\xe2\x82\xac");
}

}  // namespace
}  // namespace kata::ttrpc
