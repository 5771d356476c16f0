// SPDX-License-Identifier: Apache-2.0
#include "host/record/timing.h"

#include <stdlib.h>

#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

TEST(Timing, ComesBackAsItWas) {
  char name[] = "/tmp/timing-XXXXXX";
  const std::string root = ::mkdtemp(name);
  ASSERT_TRUE(sys::MakeDirs(root + "/pod"));
  const StartTiming timing{.from = "warm",
                           .booted = {{"renew", 1.5}},
                           .created = {{"plan", 0.25}, {"boot", 20}},
                           .started = {{"start_container", 7}}};
  ASSERT_TRUE(SaveTiming("pod", "c1", timing, root));
  const auto loaded = LoadTiming("c1", root);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, timing);
  EXPECT_EQ(LoadTiming("c2", root).error().code(), Code::kNotFound);
  EXPECT_EQ(ParseTiming("{").error().code(), Code::kDataLoss);
  EXPECT_EQ(ParseTiming("{\"from\":1}").error().code(), Code::kDataLoss);
  EXPECT_TRUE(sys::RemoveTree(root));
}

}  // namespace
}  // namespace kata::sandbox
