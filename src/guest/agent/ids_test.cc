// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/ids.h"

#include <string>

#include <gtest/gtest.h>

namespace kata::guest {
namespace {

TEST(CheckId, AcceptsWhatFrontEndsUse) {
  for (const char* id : {"a", "ab12", "web-1_x.y", "0123456789abcdef0123456789abcdef"}) {
    EXPECT_TRUE(CheckId("container id", id)) << id;
  }
  EXPECT_TRUE(CheckId("container id", std::string(255, 'a')));
}

TEST(CheckId, RefusesEverythingThatIsNotAPlainFileName) {
  for (const char* id : {"", ".", "..", "-a", "_a", "a/b", "../a", "a b", "a\n", "\xc3\xa4"}) {
    const auto checked = CheckId("container id", id);
    ASSERT_FALSE(checked) << id;
    EXPECT_EQ(checked.error().code(), Code::kInvalidArgument);
  }
  EXPECT_FALSE(CheckId("container id", std::string(256, 'a')));
  EXPECT_FALSE(CheckId("container id", std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace kata::guest
