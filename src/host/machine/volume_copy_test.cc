// SPDX-License-Identifier: Apache-2.0
#include "host/machine/volume_copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kGuest[] = "/run/kata-containers/shared/containers/";

class VolumeCopyTest : public testing::Test {
 protected:
  Result<VolumeCopy> Read(const std::string& name) const {
    return ReadVolume({.source = directory_ + name, .destination = "/etc/app", .options = {}},
                      "c1");
  }

  const sys::TemporaryDir temporary_{"volume"};
  const std::string directory_ = temporary_.path();
};

TEST_F(VolumeCopyTest, ReadsAFileWithItsOwner) {
  ASSERT_TRUE(sys::WriteFile(directory_ + "/file", "text", 0640));
  ASSERT_EQ(::chown((directory_ + "/file").c_str(), 12, 34), 0);
  const auto copy = Read("/file");
  ASSERT_TRUE(copy) << copy.error().message();
  EXPECT_THAT(copy->path, StartsWith(kGuest));
  EXPECT_THAT(copy->path, testing::EndsWith("-file"));
  ASSERT_EQ(copy->files.size(), 1u);
  const agent::GuestFile& file = copy->files[0];
  EXPECT_EQ(file.path, copy->path);
  EXPECT_EQ(file.content, "text");
  EXPECT_EQ(file.mode, S_IFREG | 0640u);
  EXPECT_EQ(file.uid, 12u);
  EXPECT_EQ(file.gid, 34u);
}

TEST_F(VolumeCopyTest, ReadsADirectoryParentsFirstWithoutFollowingLinks) {
  ASSERT_TRUE(sys::MakeDirs(directory_ + "/tree/sub", 0750));
  ASSERT_TRUE(sys::WriteFile(directory_ + "/tree/sub/key", "secret", 0400));
  ASSERT_EQ(::symlink("/etc/shadow", (directory_ + "/tree/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((directory_ + "/tree/pipe").c_str(), 0600), 0);
  const auto copy = Read("/tree");
  ASSERT_TRUE(copy) << copy.error().message();
  std::vector<std::string> seen;
  for (const agent::GuestFile& file : copy->files) {
    ASSERT_THAT(file.path, StartsWith(copy->path));
    const std::string path = file.path.substr(copy->path.size());
    seen.push_back(path);
    if (path == "/link") {
      EXPECT_EQ(file.mode & S_IFMT, static_cast<mode_t>(S_IFLNK));
      EXPECT_EQ(file.content, "/etc/shadow");
    }
    if (path == "/sub/key") {
      EXPECT_EQ(file.content, "secret");
      EXPECT_EQ(seen[seen.size() - 2], "/sub");
    }
  }
  EXPECT_EQ(seen.front(), "");
  EXPECT_THAT(seen, testing::UnorderedElementsAre("", "/sub", "/sub/key", "/link"));
}

TEST_F(VolumeCopyTest, ContainersShareWhatHasOneSource) {
  ASSERT_TRUE(sys::MakeDirs(directory_ + "/empty"));
  const storage::Volume volume{.source = directory_ + "/empty", .destination = "/a", .options = {}};
  const auto first = ReadVolume(volume, "c1");
  const auto second = ReadVolume(volume, "c2");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->path, second->path);
}

TEST_F(VolumeCopyTest, RefusesWhatIsTooMuchAndWhatIsNoFile) {
  ASSERT_TRUE(sys::WriteFile(directory_ + "/big", ""));
  ASSERT_EQ(::truncate((directory_ + "/big").c_str(), kMaxCopiedBytes + 1), 0);
  auto copy = Read("/big");
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(copy.error().message(), HasSubstr("16 MiB"));

  ASSERT_EQ(::mkfifo((directory_ + "/pipe").c_str(), 0600), 0);
  copy = Read("/pipe");
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().code(), Code::kUnimplemented);

  copy = Read("/missing");
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace kata::sandbox
