// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/oom_watch.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"
#include "guest/agent/testing/fake_container.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class OomWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    Kills(0);
    container_ = std::make_unique<FakeContainer>(dir_);
    ASSERT_TRUE(watch_.Add("c1", *container_));
  }

  void Kills(int count) {
    ASSERT_TRUE(
        sys::WriteFile(dir_ + "/memory.events", "oom_kill " + std::to_string(count) + "\n"));
  }
  OomWatch::Listener Collect() {
    return [this](Result<std::string> id) { heard_.push_back(id.value_or("<error>")); };
  }

  TestLoop test_;
  OomWatch watch_{test_.loop(), [](const std::string&) {}};
  const sys::TemporaryDir temporary_{"oom"};
  const std::string dir_ = temporary_.path();
  std::unique_ptr<FakeContainer> container_;
  std::vector<std::string> heard_;
};

TEST_F(OomWatchTest, TellsEverybodyWhoWaits) {
  watch_.Next(Always, Collect());
  watch_.Next(Always, Collect());
  EXPECT_EQ(test_.Run({{Always, [&] { Kills(1); }}, {[&] { return heard_.size() == 2; }, [] {}}}),
            2u);
  EXPECT_THAT(heard_, ElementsAre("c1", "c1"));
}

TEST_F(OomWatchTest, KeepsTheEventForTheNextWhoAsks) {
  Kills(1);
  watch_.Check("c1");
  watch_.Check("c1");
  watch_.Next(Always, Collect());
  watch_.Next(Always, Collect());
  EXPECT_THAT(heard_, ElementsAre("c1"));
}

TEST_F(OomWatchTest, SpendsNoEventOnThoseWhoHaveGone) {
  bool there = true;
  watch_.Next([&] { return there; }, Collect());
  there = false;
  Kills(1);
  watch_.Check("c1");
  EXPECT_THAT(heard_, IsEmpty());
  watch_.Next(Always, Collect());
  EXPECT_THAT(heard_, ElementsAre("c1"));
}

TEST_F(OomWatchTest, SaysNothingOfARemovedContainer) {
  watch_.Remove("c1");
  Kills(1);
  watch_.Check("c1");
  watch_.Next(Always, Collect());
  EXPECT_THAT(heard_, IsEmpty());
}

TEST_F(OomWatchTest, BoundsThoseWhoWait) {
  for (int i = 0; i < 17; ++i) watch_.Next(Always, Collect());
  EXPECT_THAT(heard_, ElementsAre("<error>"));
}

}  // namespace
}  // namespace kata::guest
