// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/http_request.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::monitor {
namespace {

TEST(HttpRequest, ReadsWhatClientsSend) {
  const auto request = ParseHead(
      "GET /metrics?sandbox=a%62&x=1+2&sandbox=c&flag HTTP/1.1\r\nHost: localhost:8090\r\n"
      "ACCEPT:  application/json \r\nContent-Length: 0");
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->path, "/metrics");
  EXPECT_FALSE(request->head_only);
  EXPECT_EQ(request->Query("sandbox"), "ab");
  EXPECT_EQ(request->Query("x"), "1 2");
  EXPECT_EQ(request->Query("flag"), "");
  EXPECT_EQ(request->Query("other"), "");
  EXPECT_EQ(request->accept, "application/json");
  EXPECT_TRUE(ParseHead("HEAD / HTTP/1.0")->head_only);
}

TEST(HttpRequest, RefusesWhatItDoesNotUnderstand) {
  for (const char* head : {"", "GET", "GET /", "GET / HTTP/2", "GET metrics HTTP/1.1",
                           "GET /%4 HTTP/1.1", "GET /%zz HTTP/1.1", "GET /?a=%f HTTP/1.1",
                           "\r\nGET / HTTP/1.1", "GET  / HTTP/1.1", "\x16\x03\x01\x02"}) {
    EXPECT_EQ(ParseHead(head).error().code(), Code::kInvalidArgument) << head;
  }
  for (const char* head :
       {"POST / HTTP/1.1", "get / HTTP/1.1", "GET / HTTP/1.1\r\nContent-Length: 5",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked"}) {
    EXPECT_EQ(ParseHead(head).error().code(), Code::kUnimplemented) << head;
  }
}

TEST(HttpRequest, TakesNoEndOfParameters) {
  std::string head = "GET /?";
  for (int i = 0; i < 1000; ++i) head += std::to_string(i) + "=1&";
  EXPECT_LE(ParseHead(head + " HTTP/1.1")->query.size(), 16U);
}

TEST(HttpRequest, AnswersHeadWithoutABody) {
  const HttpResponse response{.status = 404, .body = "none\n"};
  EXPECT_EQ(FormatResponse(response, true) + "none\n", FormatResponse(response, false));
  EXPECT_THAT(
      FormatResponse(response, true),
      testing::AllOf(testing::StartsWith("HTTP/1.1 404 Not Found\r\n"),
                     testing::HasSubstr("Content-Length: 5\r\n"), testing::EndsWith("\r\n\r\n")));
}

}  // namespace
}  // namespace kata::monitor
