// SPDX-License-Identifier: Apache-2.0
#include "host/storage/data_image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::storage {
namespace {

using testing::HasSubstr;

constexpr int64_t kSize = int64_t{1} << 30;

class DataImageTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/var/tmp/kata-data-image-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    image_ = {.directory = name, .name = "disk"};
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(image_.directory)); }
  DataContent Content() const { return LookForImage(image_, -1).value(); }

  DataImage image_;
};

TEST_F(DataImageTest, IsAloneInItsDirectoryOrNotThere) {
  EXPECT_EQ(Content(), DataContent::kNothing);
  ASSERT_EQ(::mkdir((image_.directory + "/lost+found").c_str(), 0700), 0);
  EXPECT_EQ(Content(), DataContent::kNothing);
  ASSERT_TRUE(sys::WriteFile(image_.Path(), ""));
  EXPECT_EQ(Content(), DataContent::kImage);
  ASSERT_TRUE(sys::WriteFile(image_.directory + "/lost+found/found", ""));
  EXPECT_EQ(Content(), DataContent::kImageAndFiles);
  ASSERT_EQ(::unlink(image_.Path().c_str()), 0);
  EXPECT_EQ(Content(), DataContent::kFiles);
  // A link is no image of ours, wherever it leads.
  ASSERT_EQ(::symlink("/etc/passwd", image_.Path().c_str()), 0);
  EXPECT_EQ(Content(), DataContent::kFiles);
}

TEST_F(DataImageTest, IsSparseAndKeepsWhatItHas) {
  const auto made = OpenDataImage(image_, kSize, -1);
  if (!made && made.error().code() == Code::kUnimplemented) GTEST_SKIP() << made.error().message();
  ASSERT_TRUE(made) << made.error().message();
  struct stat status{};
  ASSERT_EQ(::fstat(made->get(), &status), 0);
  EXPECT_LE(status.st_size, kSize);
  constexpr int64_t kBlock = 512;
  EXPECT_LT(status.st_blocks * kBlock, kSize / 100);
  constexpr off_t kMagicPlace = 1024 + 56;
  uint16_t magic = 0;
  ASSERT_EQ(::pread(made->get(), &magic, sizeof magic, kMagicPlace), ssize_t{sizeof magic});
  EXPECT_EQ(magic, 0xef53);

  ASSERT_EQ(::pwrite(made->get(), "kept", 4, 0), 4);
  const auto again = OpenDataImage(image_, kSize, -1);
  ASSERT_TRUE(again);
  char word[4] = {};
  ASSERT_EQ(::pread(again->get(), word, sizeof word, 0), ssize_t{sizeof word});
  EXPECT_EQ(std::string(word, sizeof word), "kept");

  EXPECT_TRUE(RemoveDataImage(image_, -1));
  EXPECT_EQ(Content(), DataContent::kNothing);
  EXPECT_TRUE(RemoveDataImage(image_, -1));
}

TEST_F(DataImageTest, IsNoFileWithOtherNamesAndNoLink) {
  ASSERT_TRUE(sys::WriteFile(image_.Path(), ""));
  ASSERT_EQ(::link(image_.Path().c_str(), (image_.directory + "/other").c_str()), 0);
  EXPECT_EQ(OpenDataImage(image_, kSize, -1).error().code(), Code::kFailedPrecondition);
  ASSERT_EQ(::unlink(image_.Path().c_str()), 0);
  ASSERT_EQ(::symlink("other", image_.Path().c_str()), 0);
  EXPECT_FALSE(OpenDataImage(image_, kSize, -1));
}

TEST_F(DataImageTest, IsWantedWhereARootHasNothingOrAnEmptyDirectory) {
  ASSERT_TRUE(sys::MakeDirs(image_.directory + "/etc/empty"));
  ASSERT_EQ(::symlink("/etc", (image_.directory + "/link").c_str()), 0);
  const sys::RootDir root(sys::Open(image_.directory, O_PATH | O_DIRECTORY).value());
  EXPECT_EQ(LookInRoot(root, "/etc/none"), RootPlace::kNothing);
  // Below the root's own etc, not the host's.
  EXPECT_EQ(LookInRoot(root, "/link/empty"), RootPlace::kEmptyDirectory);
  EXPECT_EQ(LookInRoot(root, "/link/passwd"), RootPlace::kNothing);
  EXPECT_EQ(LookInRoot(root, "/etc"), RootPlace::kOther);
  EXPECT_EQ(LookInRoot(root, "/link"), RootPlace::kOther);
}

TEST_F(DataImageTest, IsOneSandboxsAtATime) {
  ASSERT_TRUE(sys::WriteFile(image_.Path(), ""));
  const auto open = [&] { return sys::Open(image_.Path(), O_RDWR).value(); };
  ImageClaims one;
  ImageClaims other;
  ASSERT_TRUE(one.Add("a", open()));
  EXPECT_TRUE(one.Add("b", open()));
  EXPECT_THAT(other.Add("c", open()).error().message(), HasSubstr("another virtual machine"));
  one.RemoveContainer("a");
  EXPECT_FALSE(other.Add("c", open()));
  one.RemoveContainer("b");
  EXPECT_TRUE(other.Add("c", open()));
}

}  // namespace
}  // namespace kata::storage
