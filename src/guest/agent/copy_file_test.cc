// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/copy_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

class CopyFileTest : public testing::Test {
 protected:
  void SetUp() override {
    base_ = root_ + "/base";
    request_.set_uid(static_cast<int32_t>(::getuid()));
    request_.set_gid(static_cast<int32_t>(::getgid()));
  }

  Result<void> Copy(const std::string& path, const std::string& data, int64_t size,
                    int64_t offset = 0, uint32_t mode = S_IFREG | 0640) {
    request_.set_path(path);
    request_.set_data(data);
    request_.set_file_size(size);
    request_.set_offset(offset);
    request_.set_file_mode(mode);
    return CopyFile(base_, request_);
  }

  const sys::TemporaryDir temporary_{"copy-file"};
  const std::string root_ = temporary_.path();
  std::string base_;
  agent::CopyFileRequest request_;
};

TEST_F(CopyFileTest, PutsPiecesTogetherUnderATemporaryName) {
  const std::string path = base_ + "/a/b/file";
  ASSERT_TRUE(Copy(path, "hello ", 11));
  EXPECT_FALSE(sys::Exists(path));
  ASSERT_TRUE(Copy(path, "world", 11, 6));
  EXPECT_EQ(sys::ReadFile(path).value(), "hello world");
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_FALSE(sys::Exists(path + ".tmp"));
}

TEST_F(CopyFileTest, AFifoUnderTheTemporaryNameNeverBlocks) {
  const std::string path = base_ + "/file";
  ASSERT_TRUE(sys::MakeDirs(base_));
  ASSERT_EQ(::mkfifo((path + ".tmp").c_str(), 0600), 0);
  // What blocks is killed with the whole test.
  ::alarm(20);
  ASSERT_TRUE(Copy(path, "hello ", 11));
  ASSERT_EQ(::unlink((path + ".tmp").c_str()), 0);
  ASSERT_EQ(::mkfifo((path + ".tmp").c_str(), 0600), 0);
  EXPECT_FALSE(Copy(path, "world", 11, 6));
  ::alarm(0);
  ASSERT_TRUE(Copy(path, "anew", 4));
  EXPECT_EQ(sys::ReadFile(path).value(), "anew");
}

TEST_F(CopyFileTest, ReplacesAnOlderFile) {
  ASSERT_TRUE(Copy(base_ + "/f", "a longer content", 16));
  ASSERT_TRUE(Copy(base_ + "/f", "short", 5));
  EXPECT_EQ(sys::ReadFile(base_ + "/f").value(), "short");
  ASSERT_TRUE(Copy(base_ + "/f", "", 0));
  EXPECT_EQ(sys::ReadFile(base_ + "/f").value(), "");
}

TEST_F(CopyFileTest, MakesDirectoriesAndLinks) {
  ASSERT_TRUE(Copy(base_ + "/d", "", 0, 0, S_IFDIR | 0711));
  ASSERT_TRUE(Copy(base_ + "/d", "", 0, 0, S_IFDIR | 0700));
  ASSERT_TRUE(Copy(base_ + "/d/link", "../target", 9, 0, S_IFLNK | 0777));
  ASSERT_TRUE(Copy(base_ + "/d/link", "other", 5, 0, S_IFLNK | 0777));
  char target[16] = {};
  ASSERT_GT(::readlink((base_ + "/d/link").c_str(), target, sizeof target - 1), 0);
  EXPECT_STREQ(target, "other");
}

TEST_F(CopyFileTest, RefusesPathsOutsideOfItsDirectory) {
  for (const std::string& path :
       {std::string("/etc/passwd"), base_, base_ + "/", base_ + "/../x", base_ + "/a/../../x",
        base_ + "x/y", std::string(), base_ + "/" + std::string(5000, 'a')}) {
    const auto copied = Copy(path, "x", 1);
    ASSERT_FALSE(copied) << path;
    EXPECT_EQ(copied.error().code(), Code::kInvalidArgument) << path;
  }
}

TEST_F(CopyFileTest, FollowsNoLinks) {
  ASSERT_TRUE(sys::MakeDirs(root_ + "/outside"));
  ASSERT_TRUE(sys::MakeDirs(base_));
  ASSERT_EQ(::symlink((root_ + "/outside").c_str(), (base_ + "/out").c_str()), 0);
  EXPECT_FALSE(Copy(base_ + "/out/file", "x", 1));
  EXPECT_FALSE(sys::Exists(root_ + "/outside/file"));
  ASSERT_EQ(::symlink((root_ + "/outside/f").c_str(), (base_ + "/f.tmp").c_str()), 0);
  ASSERT_TRUE(Copy(base_ + "/f", "x", 1));
  EXPECT_FALSE(sys::Exists(root_ + "/outside/f"));
  EXPECT_EQ(sys::ReadFile(base_ + "/f").value(), "x");
}

TEST_F(CopyFileTest, RemovesOneByOneWhatItMade) {
  const std::string link = base_ + "/volume/link";
  ASSERT_TRUE(Copy(base_ + "/volume/sub/key", "x", 1));
  ASSERT_TRUE(Copy(link, "sub", 0, 0, S_IFLNK | 0777));
  EXPECT_FALSE(RemoveCopy(base_, base_ + "/volume")) << "there is something in it";
  EXPECT_FALSE(RemoveCopy(base_, link + "/key")) << "links are not followed";
  EXPECT_TRUE(sys::Exists(base_ + "/volume/sub/key"));
  for (const char* each :
       {"/volume/sub/key", "/volume/sub", "/volume/link", "/volume", "/volume"}) {
    EXPECT_TRUE(RemoveCopy(base_, base_ + each)) << each;
    EXPECT_FALSE(sys::Exists(base_ + each)) << each;
  }
  EXPECT_TRUE(RemoveCopy(base_, base_ + "/volume/sub/key")) << "what is not there is fine";
  EXPECT_EQ(RemoveCopy(base_, "/etc/passwd").error().code(), Code::kInvalidArgument);
}

TEST_F(CopyFileTest, RefusesPiecesThatDoNotFit) {
  EXPECT_FALSE(Copy(base_ + "/f", "xx", 1));
  EXPECT_FALSE(Copy(base_ + "/f", "x", 10, 10));
  EXPECT_FALSE(Copy(base_ + "/f", "x", 10, -1));
  EXPECT_FALSE(Copy(base_ + "/f", "x", -1));
  EXPECT_FALSE(Copy(base_ + "/f", "x", 1, 0, S_IFCHR | 0600));
}

}  // namespace
}  // namespace kata::guest
