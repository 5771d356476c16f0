// SPDX-License-Identifier: Apache-2.0
//
// Needs root: marks for real.
#include "sys/directory_changes.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sys {
namespace {

class DirectoryChangesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    directory_ = Open(dir_.path(), O_RDONLY | O_DIRECTORY).value();
    auto watched = changes_->Watch(directory_.get());
    if (!watched && watched.error().code() == Code::kUnimplemented) {
      GTEST_SKIP() << watched.error().message();
    }
    ASSERT_TRUE(watched) << watched.error().message();
  }
  // What is told of `name`, all of it together.
  uint64_t Told(const std::string& name) {
    uint64_t what = 0;
    const auto changes = changes_->Read().value();
    for (const DirectoryChange& change : changes) {
      if (change.name != name) continue;
      EXPECT_EQ(change.pid, ::getpid());
      EXPECT_EQ(change.directory, FileHandle::Of(directory_.get()).value());
      what |= change.what;
    }
    return what;
  }

  TemporaryDir dir_{"fanotify"};
  UniqueFd directory_;
  Result<DirectoryChanges> changes_ = DirectoryChanges::Open();
};

TEST_F(DirectoryChangesTest, TellWhatHappenedWhereAndWhoseProcessDidIt) {
  EXPECT_EQ(Told("file"), 0u);
  ASSERT_TRUE(WriteFile(dir_.path() + "/file", "x"));
  EXPECT_EQ(Told("file"), FAN_CREATE);
  ASSERT_EQ(::chmod((dir_.path() + "/file").c_str(), 0600), 0);
  EXPECT_EQ(Told("file"), FAN_ATTRIB);
  ASSERT_TRUE(MakeDirs(dir_.path() + "/sub"));
  EXPECT_EQ(Told("sub"), FAN_CREATE | FAN_ONDIR);
  ASSERT_EQ(::rename((dir_.path() + "/sub").c_str(), (dir_.path() + "/other").c_str()), 0);
  EXPECT_EQ(Told("other"), FAN_MOVED_TO | FAN_ONDIR);
  ASSERT_TRUE(RemoveFile(dir_.path() + "/file"));
  EXPECT_NE(Told("file") & FAN_DELETE, 0u);
}

TEST_F(DirectoryChangesTest, AHandleFindsADirectoryWhateverItIsCalledNow) {
  ASSERT_TRUE(MakeDirs(dir_.path() + "/sub"));
  const FileHandle handle = FileHandle::Of(directory_.get(), "sub").value();
  ASSERT_EQ(::rename((dir_.path() + "/sub").c_str(), (dir_.path() + "/other").c_str()), 0);
  const auto open = handle.Open(directory_.get(), O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(open) << open.error().message();
  EXPECT_EQ(FileHandle::Of(open->get()).value(), handle);
  ASSERT_EQ(::rmdir((dir_.path() + "/other").c_str()), 0);
}

}  // namespace
}  // namespace kata::sys
