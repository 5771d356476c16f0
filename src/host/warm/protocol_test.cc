// SPDX-License-Identifier: Apache-2.0
#include "host/warm/protocol.h"

#include <fcntl.h>
#include <stdlib.h>

#include <thread>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::warm {
namespace {

using std::chrono::seconds;

TEST(Protocol, ATakeComesBackAsItWas) {
  const TakeRequest request{.program = "p",
                            .argv = {"shim", "-id", "a b"},
                            .env = {"A=\xff", "B=2"},
                            .directory = "/bundle",
                            .oom_score_adj = -5};
  const std::string line = FormatTake(request);
  EXPECT_TRUE(line.starts_with(kTakePrefix));
  EXPECT_TRUE(line.ends_with("\n"));
  const auto parsed = ParseTake(line);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->argv, request.argv);
  EXPECT_EQ(parsed->env.back(), "B=2");
  EXPECT_EQ(parsed->directory, "/bundle");
  EXPECT_EQ(parsed->oom_score_adj, -5);
  for (const char* bad : {"", "{}", "{\"take\":1}", "{\"take\":{\"argv\":3}}", "[]"}) {
    EXPECT_EQ(ParseTake(bad).error().code(), Code::kInvalidArgument) << bad;
  }
}

class TakeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/warm-XXXXXX";
    dir_ = ::mkdtemp(name);
    listener_ = *sys::ListenUnix(dir_ + "/s");
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(dir_)); }

  Result<pid_t> TakeFrom(const std::string& answer) {
    std::thread service([&] {
      const auto caller = sys::Accept(listener_.get());
      const auto line = ReadLine(caller->get(), Deadline::After(seconds(10)));
      EXPECT_TRUE(line && line->fd);
      if (answer.empty()) return;
      (void)sys::WriteAll(caller->get(), answer);
      const auto go = ReadLine(caller->get(), Deadline::After(seconds(10)));
      went_ = go && go->text == kGo;
    });
    const auto any = sys::Open("/dev/null", O_RDONLY);
    auto taken = Take(dir_ + "/s", {.directory = "/"}, any->get(), Deadline::After(seconds(10)));
    service.join();
    return taken;
  }

  std::string dir_;
  sys::UniqueFd listener_;
  bool went_ = false;
};

TEST_F(TakeTest, GivesThePidOrTheReason) {
  EXPECT_EQ(*TakeFrom(FormatTaken(77)), 77);
  EXPECT_TRUE(went_);
  const auto refused = TakeFrom(FormatRefusal("not \"this\"\n"));
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(went_);
  EXPECT_EQ(refused.error().message(), "not \"this\"\n");
  EXPECT_EQ(TakeFrom("nonsense\n").error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(TakeFrom("").error().code(), Code::kUnavailable) << "nobody is ready";
  EXPECT_EQ(Take(dir_ + "/none", {}, 0, Deadline::After(seconds(1))).error().code(),
            Code::kNotFound);
}

}  // namespace
}  // namespace kata::warm
