// SPDX-License-Identifier: Apache-2.0
#include "host/record/root_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

TEST(RootReport, IsThereAsLongAsTheContainer) {
  const sys::TemporaryDir dir("root-report");
  const std::string& root = dir.path();
  ASSERT_TRUE(sys::MakeDirs(root + "/pod"));
  ASSERT_TRUE(SaveRootReport("pod", "c1", "layers (5 images), upper shared", root));
  EXPECT_EQ(LoadRootReport("c1", root).value(), "layers (5 images), upper shared");
  const auto unknown = LoadRootReport("c2", root);
  EXPECT_EQ(unknown.error().code(), Code::kNotFound);
  EXPECT_THAT(unknown.error().message(), testing::HasSubstr("\"c2\""));
  ASSERT_TRUE(RemoveRootReport("pod", "c1", root));
  EXPECT_TRUE(RemoveRootReport("pod", "c1", root));
  EXPECT_FALSE(LoadRootReport("c1", root));
}

}  // namespace
}  // namespace kata::sandbox
