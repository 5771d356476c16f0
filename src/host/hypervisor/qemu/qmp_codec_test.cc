// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/qmp_codec.h"

#include <gtest/gtest.h>

namespace kata::hypervisor::qemu {
namespace {

constexpr std::string_view kCodecGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"},)"
    R"( "capabilities": ["oob"]}})"
    "\r\n";

TEST(QmpCodec, ReadsGreetingAnswersErrorsAndEvents) {
  QmpCodec codec;
  const auto messages =
      codec.Feed(std::string(kCodecGreeting) +
                 R"({"return": {"running": true}, "id": 7})"
                 "\r\n"
                 R"({"id": 8, "error": {"class": "GenericError", "desc": "Device 'x' not found"}})"
                 "\r\n"
                 R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"})"
                 "\r\n"
                 R"({"event": "DEVICE_DELETED", "data": {"device": "d0"}, "timestamp": {}})"
                 "\r\n");
  ASSERT_TRUE(messages) << messages.error().message();
  ASSERT_EQ(messages->size(), 5u);
  EXPECT_EQ(std::get<QmpGreeting>((*messages)[0]).major, 7);
  EXPECT_EQ(std::get<QmpGreeting>((*messages)[0]).micro, 22);
  EXPECT_EQ(std::get<QmpReturn>((*messages)[1]).id, 7u);
  EXPECT_TRUE(std::get<QmpReturn>((*messages)[1]).value["running"]);
  EXPECT_EQ(std::get<QmpError>((*messages)[2]).description, "Device 'x' not found");
  EXPECT_EQ(std::get<QmpEvent>((*messages)[3]).name, "STOP");
  EXPECT_TRUE(std::get<QmpEvent>((*messages)[3]).data.empty());
  EXPECT_EQ(std::get<QmpEvent>((*messages)[4]).data["device"], "d0");
}

TEST(QmpCodec, AcceptsAnyCutIntoPieces) {
  QmpCodec codec;
  size_t messages = 0;
  for (char c : kCodecGreeting) messages += codec.Feed(std::string_view(&c, 1))->size();
  EXPECT_EQ(messages, 1u);
}

TEST(QmpCodec, RefusesWhatIsNotTheProtocol) {
  for (const char* line : {"hello\n", "{\n", "[]\n", "5\n", "{\"x\":1}\n", "\xff\xfe\n",
                           "{\"error\": 5}\n", "{\"event\": {}}\n"}) {
    QmpCodec codec;
    const auto messages = codec.Feed(line);
    ASSERT_FALSE(messages) << line;
    EXPECT_EQ(messages.error().code(), Code::kDataLoss) << line;
  }
}

TEST(QmpCodec, FieldsOfTheWrongTypeAreAbsent) {
  QmpCodec codec;
  const auto messages = codec.Feed(
      "{\"QMP\": {\"version\": 3}}\n"
      "{\"return\": null, \"id\": \"text\"}\n"
      "{\"error\": {\"class\": [], \"desc\": 9}, \"id\": -1}\n"
      "{\"event\": \"E\", \"data\": [1]}\n");
  ASSERT_TRUE(messages);
  EXPECT_EQ(std::get<QmpGreeting>((*messages)[0]).major, 0);
  EXPECT_EQ(std::get<QmpReturn>((*messages)[1]).id, 0u);
  EXPECT_EQ(std::get<QmpError>((*messages)[2]).description, "");
  EXPECT_TRUE(std::get<QmpEvent>((*messages)[3]).data.is_object());
}

TEST(QmpCodec, BoundsTheLine) {
  QmpCodec codec;
  const std::string chunk(64 << 10, 'x');
  Result<std::vector<QmpMessage>> result = std::vector<QmpMessage>();
  size_t fed = 0;
  while (result && fed < 10 * QmpCodec::kMaxLine) {
    result = codec.Feed(chunk);
    fed += chunk.size();
  }
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kOutOfRange);
  EXPECT_LE(fed, QmpCodec::kMaxLine + chunk.size());
}

TEST(QmpCodec, EncodesCommands) {
  EXPECT_EQ(QmpCodec::Encode(3, "stop", nullptr), "{\"execute\":\"stop\",\"id\":3}\n");
  EXPECT_EQ(QmpCodec::Encode(4, "device_del", {{"id", "d\n0"}}),
            "{\"arguments\":{\"id\":\"d\\n0\"},\"execute\":\"device_del\",\"id\":4}\n");
}

}  // namespace
}  // namespace kata::hypervisor::qemu
