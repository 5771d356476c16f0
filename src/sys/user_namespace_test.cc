// SPDX-License-Identifier: Apache-2.0
#include "sys/user_namespace.h"

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

TEST(IdMap, FindsTheIdOutside) {
  IdMap map;
  ASSERT_TRUE(map.Add({.inside = 0, .outside = 100000, .size = 1000}));
  ASSERT_TRUE(map.Add({.inside = 1000, .outside = 5, .size = 1}));
  EXPECT_EQ(map.Outside(0), 100000u);
  EXPECT_EQ(map.Outside(999), 100999u);
  EXPECT_EQ(map.Outside(1000), 5u);
  EXPECT_EQ(map.Outside(2000), 65534u);
  EXPECT_EQ(map.Text(), "0 100000 1000\n1000 5 1\n");
  EXPECT_EQ(IdMap().Outside(7), 7u);
}

TEST(IdMap, RefusesWhatIsNoRange) {
  IdMap map;
  EXPECT_FALSE(map.Add({.inside = 0, .outside = 4294967295U, .size = 2}));
  EXPECT_FALSE(map.Add({.inside = 0, .outside = 0, .size = 0}));
  EXPECT_TRUE(map.empty());
}

}  // namespace
}  // namespace kata::sys
