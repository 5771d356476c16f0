// SPDX-License-Identifier: Apache-2.0
#include "sys/files.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <thread>

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-file-test-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(dir_)); }
  std::string dir_;
};

TEST_F(FileTest, ReadsWhatItWrote) {
  ASSERT_TRUE(WriteFile(dir_ + "/a", "hello"));
  EXPECT_EQ(ReadFile(dir_ + "/a").value(), "hello");
  ASSERT_TRUE(ReplaceFile(dir_ + "/a", "new"));
  EXPECT_EQ(ReadFile(dir_ + "/a").value(), "new");
}

TEST_F(FileTest, RefusesAFileAboveTheLimit) {
  ASSERT_TRUE(WriteFile(dir_ + "/a", "hello"));
  EXPECT_EQ(ReadFile(dir_ + "/a", 4).error().code(), Code::kOutOfRange);
}

TEST_F(FileTest, RemoveTreeDoesNotFollowLinks) {
  ASSERT_TRUE(MakeDirs(dir_ + "/keep"));
  ASSERT_TRUE(WriteFile(dir_ + "/keep/file", "x"));
  ASSERT_TRUE(MakeDirs(dir_ + "/gone/deep/er"));
  ASSERT_EQ(::symlink((dir_ + "/keep").c_str(), (dir_ + "/gone/deep/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(dir_ + "/gone"));
  EXPECT_FALSE(Exists(dir_ + "/gone"));
  EXPECT_TRUE(Exists(dir_ + "/keep/file"));
  EXPECT_TRUE(RemoveTree(dir_ + "/gone"));
}

TEST_F(FileTest, RemoveTreeTakesWhatComesLate) {
  constexpr int kRounds = 20;
  constexpr int kFiles = 200;  // they take a while
  for (int round = 0; round < kRounds; ++round) {
    const std::string tree = dir_ + "/tree";
    ASSERT_TRUE(MakeDirs(tree));
    for (int i = 0; i < kFiles; ++i) ASSERT_TRUE(WriteFile(tree + "/" + std::to_string(i), ""));
    std::thread late([&] {
      for (const char* name : {"/one", "/two", "/three"}) (void)WriteFile(tree + name, "x");
    });
    const auto removed = RemoveTree(tree);
    late.join();
    ASSERT_TRUE(removed) << removed.error().message();
    EXPECT_FALSE(Exists(tree));
  }
}

}  // namespace
}  // namespace kata::sys
