// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/criu_files.h"

#include <string>

#include <gtest/gtest.h>

namespace kata::cli::oci {
namespace {

TEST(CriuFiles, StatisticsAreAnImageOfTheRequiredMembers) {
  const std::string wanted(
      "\x40\x59\x10\x55\x06\x33\x09\x57\x11\0\0\0"
      "\x0a\x0f\x08\0\x10\xac\x02\x18\0\x20\0\x28\0\x30\0\x38\0",
      29);
  EXPECT_EQ(DumpStatistics(std::chrono::microseconds(300)), wanted);
}

TEST(CriuFiles, ALongTimeIsTheLongestThatFits) {
  EXPECT_NE(DumpStatistics(std::chrono::hours(24)).find("\x10\xff\xff\xff\xff\x0f"),
            std::string::npos);
}

}  // namespace
}  // namespace kata::cli::oci
