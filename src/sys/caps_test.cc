// SPDX-License-Identifier: Apache-2.0
#include "sys/caps.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

TEST(Capabilities, NamesHaveTheKernelsNumbers) {
  EXPECT_EQ(*ParseCapability("CAP_CHOWN"), 0);
  EXPECT_EQ(*ParseCapability("CAP_SYS_ADMIN"), 21);
  EXPECT_EQ(*ParseCapability("CAP_SETFCAP"), 31);
  EXPECT_EQ(*ParseCapability("CAP_CHECKPOINT_RESTORE"), 40);
}

TEST(Capabilities, AnUnknownNameIsAnErrorThatNamesIt) {
  for (const char* name : {"CAP_UNHEARD_OF", "cap_chown", "CHOWN", ""}) {
    const auto parsed = ParseCapability(name);
    ASSERT_FALSE(parsed.has_value()) << name;
    EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
    EXPECT_NE(parsed.error().message().find('"' + std::string(name) + '"'), std::string::npos);
  }
}

TEST(Capabilities, AListBecomesASet) {
  const std::vector<std::string> names{"CAP_CHOWN", "CAP_BPF", "CAP_CHOWN"};
  EXPECT_EQ(*ParseCapabilities(names), (CapabilitySet{1} << 39) | 1);
}

TEST(Capabilities, TheKernelKnowsAtLeastThoseOfLinux5) {
  EXPECT_NE(KernelCapabilities() >> 37 & 1, 0u);
  EXPECT_EQ(KernelCapabilities() >> 60, 0u);
}

}  // namespace
}  // namespace kata::sys
