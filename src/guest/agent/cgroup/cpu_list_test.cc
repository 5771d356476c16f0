// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/cgroup/cpu_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::guest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ParseCpuList, ReadsRangesAndNumbersOnce) {
  EXPECT_THAT(*ParseCpuList("5,0-2,1\n"), ElementsAre(0, 1, 2, 5));
  EXPECT_THAT(*ParseCpuList(""), IsEmpty());
}

TEST(ParseCpuList, RefusesWhatIsNoList) {
  for (const char* list : {"-", "a", "1-", "2-1", "1,", ",1", "0-8192", "1 2", "-1", "1:2"}) {
    EXPECT_FALSE(ParseCpuList(list)) << list;
  }
}

TEST(FormatCpuList, JoinsNeighbours) {
  EXPECT_EQ(FormatCpuList({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(FormatCpuList({}), "");
}

TEST(FitCpus, KeepsNumbersThatExistAndReplacesOthers) {
  EXPECT_THAT(FitCpus({0, 1}, {0, 1, 2, 3}), ElementsAre(0, 1));
  EXPECT_THAT(FitCpus({4, 5}, {0, 1, 2}), ElementsAre(0, 1));
  EXPECT_THAT(FitCpus({1, 7}, {0, 1, 2}), ElementsAre(0, 1));
  EXPECT_THAT(FitCpus({0, 1, 2}, {0}), ElementsAre(0));
}

TEST(AvailableCpus, AreAtLeastOne) { EXPECT_FALSE(AvailableCpus().empty()); }

}  // namespace
}  // namespace kata::guest
