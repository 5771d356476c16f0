// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/text_diff.h"

#include <string>

#include <gtest/gtest.h>

namespace kata::cli::setup {
namespace {

TEST(UnifiedDiff, IsEmptyForEqualTexts) {
  EXPECT_EQ(UnifiedDiff("/f", "a\n", "a\n"), "");
  EXPECT_EQ(UnifiedDiff("/f", std::nullopt, std::nullopt), "");
}

TEST(UnifiedDiff, ShowsANewAndARemovedFile) {
  EXPECT_EQ(UnifiedDiff("/f", std::nullopt, "a\nb\n"),
            "--- /dev/null\n+++ /f\n@@ -0,0 +1,2 @@\n+a\n+b\n");
  EXPECT_EQ(UnifiedDiff("/f", "a\n", std::nullopt), "--- /f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n");
}

TEST(UnifiedDiff, HasThreeLinesOfContextAndSplitsHunks) {
  std::string before;
  for (int i = 1; i <= 20; ++i) before += std::to_string(i) + "\n";
  std::string after = before;
  after.replace(after.find("2\n"), 2, "two\n");
  after.replace(after.find("18\n"), 3, "");
  EXPECT_EQ(UnifiedDiff("/f", before, after),
            "--- /f\n+++ /f\n"
            "@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n"
            "@@ -15,6 +15,5 @@\n 15\n 16\n 17\n-18\n 19\n 20\n");
}

TEST(UnifiedDiff, TellsOfAMissingLineEnd) {
  EXPECT_EQ(UnifiedDiff("/f", "{}", "{}\n"),
            "--- /f\n+++ /f\n@@ -1 +1 @@\n-{}\n\\ No newline at end of file\n+{}\n");
}

}  // namespace
}  // namespace kata::cli::setup
