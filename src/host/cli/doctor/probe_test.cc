// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::cli::doctor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(ProbeNumbers, AreLinesOfNameAndNumber) {
  EXPECT_THAT(ParseProbe("sent=20\nreceived=19\nmedian_us=812.5\n"),
              ElementsAre(Pair("median_us", 812.5), Pair("received", 19), Pair("sent", 20)));
}

TEST(ProbeNumbers, ThatAreNoneAreLeftOut) {
  EXPECT_THAT(ParseProbe("a\nb=\nc=x\nd=-1\ne=nan\nf=inf\ng=1e300\nh=1 2\n=\n\n"), IsEmpty());
  EXPECT_THAT(ParseProbe(""), IsEmpty());
  EXPECT_THAT(ParseProbe("ok=1"), ElementsAre(Pair("ok", 1)));
}

int Measure(std::vector<std::string> words) {
  words.insert(words.begin(), {"probe", kProbeWord});
  std::vector<char*> line;
  for (std::string& word : words) line.push_back(word.data());
  return RunProbe(line);
}

TEST(Probe, MeasuresAProcessor) {
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(Measure({"processor", "5"}), 0);
  (void)std::fflush(stdout);
  EXPECT_GT(ParseProbe(::testing::internal::GetCapturedStdout())["rounds_per_second"], 1e5);
}

TEST(Probe, MeasuresAFile) {
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(Measure({"files", ::testing::TempDir() + "probe-file", "1"}), 0);
  (void)std::fflush(stdout);
  const auto numbers = ParseProbe(::testing::internal::GetCapturedStdout());
  EXPECT_TRUE(numbers.contains("write_mib_per_second"));
  EXPECT_TRUE(numbers.contains("read_mib_per_second"));
  EXPECT_EQ(std::remove((::testing::TempDir() + "probe-file").c_str()), 0);
}

TEST(Probe, RefusesWordsThatItDoesNotKnow) {
  EXPECT_EQ(Measure({}), 2);
  EXPECT_EQ(Measure({"dance"}), 2);
  EXPECT_EQ(Measure({"network", "nowhere", "1", "1"}), 1);
  EXPECT_EQ(Measure({"files", "/none/file", "1"}), 1);
}

}  // namespace
}  // namespace kata::cli::doctor
