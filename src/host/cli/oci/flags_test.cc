// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/flags.h"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::cli::oci {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::array kFlags = {Flag{"env", 'e', true, ""}, Flag{"tty", 't', false, ""},
                               Flag{"memory-swap", '\0', true, ""}};

Result<Arguments> Parse(std::initializer_list<const char*> words, bool only_leading = false) {
  const std::vector<const char*> list(words);
  return Arguments::Parse(kFlags, list, only_leading);
}

TEST(Flags, AreTakenInEveryFormOfRunc) {
  const auto parsed = Parse({"--env", "A=1", "-e=B=2", "--env=C=3", "-e", "D=4", "-t", "c1"});
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_THAT(parsed->All("env"), ElementsAre("A=1", "B=2", "C=3", "D=4"));
  EXPECT_TRUE(parsed->On("tty"));
  EXPECT_THAT(parsed->words(), ElementsAre("c1"));
}

TEST(Flags, MayFollowWordsUnlessTheFirstWordEndsThem) {
  const auto anywhere = Parse({"c1", "--tty"});
  ASSERT_TRUE(anywhere);
  EXPECT_TRUE(anywhere->On("tty"));
  const auto leading = Parse({"-t", "c1", "ls", "--tty", "-x"}, true);
  ASSERT_TRUE(leading);
  EXPECT_THAT(leading->words(), ElementsAre("c1", "ls", "--tty", "-x"));
}

TEST(Flags, EndAtTwoDashes) {
  const auto parsed = Parse({"--", "-t"});
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->On("tty"));
  EXPECT_THAT(parsed->words(), ElementsAre("-t"));
}

TEST(Flags, TakeNegativeNumbersAsValues) {
  const auto parsed = Parse({"--memory-swap", "-1", "c1"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->Get("memory-swap"), "-1");
}

TEST(Flags, CanBeSwitchedOff) {
  const auto parsed = Parse({"--tty=false"});
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->Has("tty"));
  EXPECT_FALSE(parsed->On("tty"));
}

TEST(Flags, ThatAreUnknownOrIncompleteAreNamed) {
  EXPECT_THAT(Parse({"--nope"}).error().message(), HasSubstr("not defined: -nope"));
  EXPECT_THAT(Parse({"--env"}).error().message(), HasSubstr("needs an argument: -env"));
  EXPECT_THAT(Parse({"--tty=maybe"}).error().message(), HasSubstr("invalid boolean"));
}

}  // namespace
}  // namespace kata::cli::oci
