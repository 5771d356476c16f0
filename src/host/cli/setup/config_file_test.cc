// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/config_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::cli::setup {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

mode_t ModeOf(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

class ConfigFileTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }
  sys::TemporaryDir directory_{"kata-setup"};
};

TEST_F(ConfigFileTest, AMissingFileHasNoText) {
  const auto file = ReadConfigFile(Path("none"));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->path, Path("none"));
  EXPECT_EQ(file->text, std::nullopt);
}

TEST_F(ConfigFileTest, WritesBehindALinkAndKeepsTheMode) {
  ASSERT_TRUE(sys::WriteFile(Path("target"), "old"));
  ASSERT_EQ(::chmod(Path("target").c_str(), 0640), 0);
  ASSERT_EQ(::symlink("target", Path("link").c_str()), 0);
  const auto file = ReadConfigFile(Path("link"));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->text, "old");
  ASSERT_TRUE(WriteConfigFile(file->path, "new"));
  EXPECT_EQ(sys::ReadFile(Path("target")).value(), "new");
  EXPECT_EQ(ModeOf(Path("target")), 0640u);
  EXPECT_TRUE(std::filesystem::is_symlink(Path("link")));
}

TEST_F(ConfigFileTest, RefusesALinkThatLeadsNowhereAndADirectory) {
  ASSERT_EQ(::symlink("nowhere", Path("link").c_str()), 0);
  const auto link = ReadConfigFile(Path("link"));
  ASSERT_FALSE(link);
  EXPECT_THAT(link.error().message(), HasSubstr("a link to something that is not there"));
  EXPECT_FALSE(ReadConfigFile(directory_.path()));
}

TEST_F(ConfigFileTest, MakesMissingDirectoriesAndNamesThem) {
  EXPECT_THAT(MissingDirs(Path("a/b/file")), ElementsAre(Path("a"), Path("a/b")));
  ASSERT_TRUE(WriteConfigFile(Path("a/b/file"), "text"));
  EXPECT_EQ(sys::ReadFile(Path("a/b/file")).value(), "text");
  EXPECT_EQ(ModeOf(Path("a/b/file")), 0644u);
  EXPECT_THAT(MissingDirs(Path("a/b/file")), ElementsAre());
}

TEST_F(ConfigFileTest, AFailedWriteLeavesTheOldFileAndNothingElse) {
  ASSERT_TRUE(sys::MakeDirs(Path("file")));
  EXPECT_FALSE(WriteConfigFile(Path("file"), "text")) << "a directory cannot be replaced";
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
    count += entry.exists() ? 1 : 0;
  }
  EXPECT_EQ(count, 1u);
}

}  // namespace
}  // namespace kata::cli::setup
