// SPDX-License-Identifier: Apache-2.0
//
// A script plays the programs: it keeps its rules in a file, takes nothing with "garbage" in it,
// and breaks down half-way at "unwilling", as a kernel does that lacks something.
#include "guest/agent/network/iptables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

using testing::HasSubstr;

constexpr const char* kScript = R"(#!/bin/sh
test "$1" = --library-path && test "$3" = "$2/xtables-nft-multi" || exit 9
test "$XTABLES_LIBDIR" = "$2" || exit 9
rules=$2/rules-$(echo "$4" | cut -d- -f1)
case $4 in
  *-save) test -e "$rules" && cat "$rules"; exit 0 ;;
esac
input=$(cat)
case $input in *garbage*) echo "line 1: garbage" >&2; exit 2 ;; esac
test "$5" = --test && exit 0
printf '%s\n' "$input" > "$rules"
case $input in *unwilling*) echo "line 2: unwilling" >&2; exit 4 ;; esac
)";

class IpTablesTest : public testing::Test {
 protected:
  void SetUp() override {
    tables_.dir = testing::TempDir() + "iptables-" +
                  testing::UnitTest::GetInstance()->current_test_info()->name();
    ASSERT_TRUE(sys::RemoveTree(tables_.dir));
    ASSERT_TRUE(sys::MakeDirs(tables_.dir));
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(tables_.dir)); }
  void GiveProgram() { ASSERT_TRUE(sys::WriteFile(tables_.dir + "/ld.so", kScript, 0755)); }

  IpTables tables_;
};

TEST_F(IpTablesTest, WithoutProgramsThatIsTheError) {
  EXPECT_EQ(tables_.Save().error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(tables_.Restore("").error().code(), Code::kFailedPrecondition);
}

TEST_F(IpTablesTest, WhatIsRestoredIsSaved) {
  GiveProgram();
  EXPECT_EQ(*tables_.Save(), "");
  ASSERT_TRUE(tables_.Restore("*filter\nCOMMIT\n"));
  EXPECT_EQ(*tables_.Save(), "*filter\nCOMMIT\n");
  tables_.ipv6 = true;
  EXPECT_EQ(*tables_.Save(), "");
}

TEST_F(IpTablesTest, AnErrorHasTheProgramsWordsAndLeavesWhatWas) {
  GiveProgram();
  ASSERT_TRUE(tables_.Restore("*filter\nCOMMIT"));
  const auto garbage = tables_.Restore("garbage");
  ASSERT_FALSE(garbage);
  EXPECT_EQ(garbage.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(garbage.error().message(), "line 1: garbage");
  EXPECT_EQ(*tables_.Save(), "*filter\nCOMMIT\n");
  const auto unwilling = tables_.Restore("*filter\nunwilling\nCOMMIT\n*nat\nCOMMIT\n");
  ASSERT_FALSE(unwilling);
  EXPECT_EQ(unwilling.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(unwilling.error().message(), HasSubstr("line 2: unwilling"));
  EXPECT_EQ(*tables_.Save(), "*filter\nCOMMIT\n*nat\nCOMMIT\n") << "a new table is emptied";
  EXPECT_EQ(tables_.Restore(std::string(4 << 20, '#')).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace kata::guest
