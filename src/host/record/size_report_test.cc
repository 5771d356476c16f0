// SPDX-License-Identifier: Apache-2.0
#include "host/record/size_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

using testing::HasSubstr;

SizeReport Short() {
  return {.asked = {.vcpus = 3, .memory_mib = 24576},
          .has = {.vcpus = 2, .memory_mib = 24064},
          .most = {.vcpus = 2, .memory_mib = 24105},
          .reason = "no more \"fits\""};
}

TEST(MachineSize, SumsDoNotWrap) {
  const MachineSize huge{.vcpus = UINT32_MAX, .memory_mib = UINT32_MAX};
  EXPECT_EQ(huge + (MachineSize{.vcpus = 1, .memory_mib = 512}), huge);
  EXPECT_EQ((MachineSize{.vcpus = 1, .memory_mib = 2048} + MachineSize{.vcpus = 2}),
            (MachineSize{.vcpus = 3, .memory_mib = 2048}));
}

TEST(SizeReport, IsReadAsItWasWritten) {
  EXPECT_EQ(ParseSizeReport(FormatSizeReport(Short())).value(), Short());
  for (const char* bad : {"", "{}", "[]", R"({"asked":{"vcpus":"1"}})"}) {
    EXPECT_EQ(ParseSizeReport(bad).error().code(), Code::kDataLoss) << bad;
  }
}

TEST(SizeReport, LiesBesideTheRecord) {
  const sys::TemporaryDir root("size");
  EXPECT_EQ(LoadSizeReport("s1", root.path()).error().code(), Code::kNotFound);
  ASSERT_TRUE(sys::MakeDirs(RecordDir("s1", root.path())));
  ASSERT_TRUE(SaveSizeReport("s1", Short(), root.path()));
  EXPECT_EQ(LoadSizeReport("s1", root.path()).value(), Short());
}

TEST(SizeReport, SetsWhatWasAskedForBesideWhatIsThere) {
  SizeReport report = Short();
  EXPECT_EQ(FormatSizeTable(report),
            "              ASKED FOR          HAS      AT MOST\n"
            "memory        24576 MiB    24064 MiB    24105 MiB\n"
            "processors            3            2            2\n"
            "no more \"fits\"\n");
  report.asked.memory_mib = UINT32_MAX;
  EXPECT_THAT(FormatSizeTable(report), HasSubstr("no end"));
}

TEST(SizeReport, TellsOfMemoryThatIsMissingAndOfNothingElse) {
  SizeReport report = Short();
  EXPECT_THAT(DescribeShortage(report), HasSubstr("has 24064 MiB of memory"));
  EXPECT_THAT(DescribeShortage(report), HasSubstr("add up to 24576 MiB"));
  EXPECT_THAT(DescribeShortage(report), HasSubstr("fits"));
  report.asked.memory_mib = report.has.memory_mib;
  EXPECT_EQ(DescribeShortage(report), "");
}

TEST(SizeReport, AGrowthIsRefusedWhenItLeavesMoreMissingThanBefore) {
  const SizeReport before{.asked = {.vcpus = 1, .memory_mib = 2304},
                          .has = {.vcpus = 1, .memory_mib = 2304},
                          .most = {.vcpus = 2, .memory_mib = 24105},
                          .reason = ""};
  SizeReport after = before;
  after.asked.memory_mib = 24105;
  after.has.memory_mib = 24105;
  EXPECT_TRUE(CheckGrowth(before, after));
  after.has.memory_mib = 24064;
  after.reason = "it grows in blocks of 128 MiB";
  const auto refused = CheckGrowth(before, after);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(
      refused.error().message(),
      "the machine can have 24064 MiB of memory, and its own and its containers' limits would "
      "add up to 24105 MiB; it grows in blocks of 128 MiB; ask for 41 MiB less");
}

TEST(SizeReport, WhatWasMissingBeforeIsNotHeldAgainstWhoAsksNow) {
  SizeReport before = Short();
  SizeReport after = before;
  EXPECT_TRUE(CheckGrowth(before, after));
  after.asked.memory_mib += 1;
  EXPECT_FALSE(CheckGrowth(before, after));
  before.asked.memory_mib = UINT32_MAX;
  after.asked.memory_mib = UINT32_MAX;
  EXPECT_TRUE(CheckGrowth(before, after)) << "one limit of the pod has no end";
  EXPECT_THAT(CheckGrowth(Short(), after).error().message(), HasSubstr("; ask for less"));
}

}  // namespace
}  // namespace kata::sandbox
