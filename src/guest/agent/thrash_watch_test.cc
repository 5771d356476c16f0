// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/thrash_watch.h"

#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"
#include "guest/agent/testing/fake_container.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

using std::chrono::milliseconds;

constexpr char kLimit[] = "67108864";

// A control group of files, played by the test. Its container has no processes, so the limit that
// kills is that of shared memory: 64 KiB below what is fixed.
class ThrashWatchTest : public testing::Test {
 protected:
  ThrashWatchTest() {
    Put("memory.max", kLimit);
    Play();
    watch_.Add("c1", container_);
  }

  void Put(const char* file, std::string_view text) {
    EXPECT_TRUE(sys::WriteFile(dir_ + "/" + file, text));
  }
  std::string Limit() { return sys::ReadFile(dir_ + "/memory.max").value_or(""); }

  // A tenth of a second of a container that stands still.
  void Play() {
    ++moment_;
    Put("memory.events", fmt::format("max {}\noom_kill {}\n", hits_ += 100, kills_));
    Put("memory.stat", fmt::format("anon 65000000\nkernel 1000000\nactive_file {}\n"
                                   "workingset_refault_file {}\npgmajfault {}\n",
                                   cache_, moment_ * 1500, moment_ * 50));
    Put("cpu.stat", fmt::format("user_usec {}\nsystem_usec {}\n", moment_ * 1000, moment_ * 90000));
  }
  // Plays on until `done`; whether that came to be.
  bool PlayUntil(const std::function<bool()>& done) {
    auto next = std::chrono::steady_clock::now();
    std::vector<TestLoop::Step> steps;
    steps.push_back({[&] {
                       if (std::chrono::steady_clock::now() >= next) {
                         Play();
                         watch_.Notice("c1");
                         next += milliseconds(100);
                       }
                       return done();
                     },
                     [] {}});
    return test_.Run(std::move(steps)) == 1;
  }

  TestLoop test_;
  const sys::TemporaryDir temporary_{"thrash_watch"};
  const std::string dir_ = temporary_.path();
  FakeContainer container_{dir_};
  ThrashWatch watch_{test_.loop()};
  int moment_ = 0;
  int hits_ = 0;
  int kills_ = 0;
  int cache_ = 131072;
};

TEST_F(ThrashWatchTest, LowersTheLimitUntilTheKernelHasKilled) {
  bool lowered = false;
  EXPECT_TRUE(PlayUntil([&] {
    if (!lowered && Limit() == fmt::format("{}", (66000000 - 65536) / 4096 * 4096)) {
      lowered = true;
      ++kills_;
      Play();
    }
    return lowered && Limit() == kLimit;
  }));
}

TEST_F(ThrashWatchTest, KeepsALimitThatSomebodySetsMeanwhile) {
  bool changed = false;
  milliseconds since{0};
  EXPECT_TRUE(PlayUntil([&] {
    if (!changed && Limit() != kLimit) {
      changed = true;
      Put("memory.max", "100000000");
      ++kills_;
      Play();
    }
    if (changed) since += milliseconds(1);
    return since > milliseconds(200);
  }));
  EXPECT_EQ(Limit(), "100000000");
}

TEST_F(ThrashWatchTest, LeavesAContainerWithACacheAlone) {
  cache_ = 8 << 20;
  int ticks = 0;
  EXPECT_TRUE(PlayUntil([&] {
    EXPECT_EQ(Limit(), kLimit);
    return ++ticks > 3000;
  }));
}

TEST_F(ThrashWatchTest, GivesTheLimitBackWhereNobodyCanBeKilled) {
  bool lowered = false;
  EXPECT_TRUE(PlayUntil([&] {
    lowered = lowered || Limit() != kLimit;
    return lowered && Limit() == kLimit;
  }));
}

TEST_F(ThrashWatchTest, ForgetsAContainerThatIsRemoved) {
  watch_.Notice("c1");
  watch_.Remove("c1");
  watch_.Remove("c1");
  int ticks = 0;
  EXPECT_TRUE(PlayUntil([&] { return ++ticks > 300; }));
  EXPECT_EQ(Limit(), kLimit);
}

TEST(BiggestOf, TakesAnonymousMemory) {
  const sys::TemporaryDir proc("proc");
  const auto put = [&](const char* pid, std::string_view text) {
    const std::string dir = fmt::format("{}/{}", std::string(proc.path()), pid);
    ASSERT_TRUE(sys::MakeDirs(dir));
    ASSERT_TRUE(sys::WriteFile(dir + "/status", text));
  };
  put("5", "Name:\tx\nVmRSS:\t    9000 kB\nRssAnon:\t     100 kB\nRssFile:\t  8900 kB\n");
  put("6", "Name:\ty\nRssAnon:\t    2000 kB\n");
  put("7", "Name:\tkthread\n");
  EXPECT_EQ(BiggestOf({5, 6, 7, 8}, proc.path()), 2000u << 10);
  EXPECT_EQ(BiggestOf({}, proc.path()), 0u);
}

}  // namespace
}  // namespace kata::guest
