// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

using Words = std::vector<std::string>;

TEST(MountOptions, LaterWordsWin) {
  const MountOptions options = ParseMountOptions(Words{"ro", "rw", "suid", "nosuid"});
  EXPECT_EQ(options.flags, static_cast<unsigned long>(MS_NOSUID));
  EXPECT_EQ(options.cleared, static_cast<unsigned long>(MS_RDONLY));
}

TEST(MountOptions, UnknownWordsAreForTheFileSystem) {
  const MountOptions options =
      ParseMountOptions(Words{"defaults", "mode=1777", "nodev", "size=64m", ""});
  EXPECT_EQ(options.data, "mode=1777,size=64m");
  EXPECT_EQ(options.flags, static_cast<unsigned long>(MS_NODEV));
}

TEST(MountOptions, NoListedWordIsForTheFileSystem) {
  for (const std::string_view word : MountOptionWords()) {
    EXPECT_EQ(ParseMountOptions(Words{std::string(word)}).data, "") << word;
  }
}

TEST(MountOptions, AccessTimeModesExcludeEachOther) {
  const MountOptions options = ParseMountOptions(Words{"noatime", "strictatime", "relatime"});
  EXPECT_EQ(options.flags, static_cast<unsigned long>(MS_RELATIME));
}

TEST(MountOptions, PropagationWordsKeepTheirOrder) {
  const MountOptions options = ParseMountOptions(Words{"rbind", "rslave", "shared"});
  EXPECT_TRUE(options.bind());
  EXPECT_EQ(options.propagation,
            (std::vector<unsigned long>{MS_SLAVE | MS_REC, static_cast<unsigned long>(MS_SHARED)}));
}

TEST(MountOptions, RecursiveWordsBecomeAttributes) {
  const MountOptions options = ParseMountOptions(Words{"rbind", "rro", "rnosuid", "rsuid"});
  EXPECT_EQ(options.recursive_set, static_cast<uint64_t>(MOUNT_ATTR_RDONLY));
  EXPECT_EQ(options.recursive_clear, static_cast<uint64_t>(MOUNT_ATTR_NOSUID));
}

TEST(MountOptions, RecursiveAccessTimeClearsTheWholeField) {
  const MountOptions options = ParseMountOptions(Words{"rnoatime"});
  EXPECT_EQ(options.recursive_set, static_cast<uint64_t>(MOUNT_ATTR_NOATIME));
  EXPECT_EQ(options.recursive_clear, static_cast<uint64_t>(MOUNT_ATTR__ATIME));
}

TEST(MountOptions, CopyUpIsNotHandedToTheFileSystem) {
  const MountOptions options = ParseMountOptions(Words{"tmpcopyup", "size=1m"});
  EXPECT_TRUE(options.copy_up);
  EXPECT_EQ(options.data, "size=1m");
}

TEST(MountAttributes, RwAloneDoesNotUndoAReadOnlySource) {
  const MountAttributes attributes = AttributesOf(ParseMountOptions(Words{"bind", "rw", "dev"}));
  EXPECT_EQ(attributes.set, 0u);
  EXPECT_EQ(attributes.clear, static_cast<uint64_t>(MOUNT_ATTR_NODEV));
}

TEST(MountAttributes, TranslateFlags) {
  const MountAttributes attributes =
      AttributesOf(ParseMountOptions(Words{"ro", "nosuid", "noexec", "noatime"}));
  EXPECT_EQ(attributes.set, static_cast<uint64_t>(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                                  MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME));
  EXPECT_EQ(attributes.clear, static_cast<uint64_t>(MOUNT_ATTR__ATIME));
}

TEST(MountInfo, ReadsALineWithOptionalFieldsAndEscapes) {
  const auto mounts = ParseMountInfo(
      "36 35 98:16 /mnt1 /mnt\\040with\\134space rw,noatime shared:1 master:2 - ext3 /dev/root "
      "rw,errors=continue\n");
  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].id, 36);
  EXPECT_EQ(mounts[0].parent_id, 35);
  EXPECT_EQ(mounts[0].device, makedev(98, 16));
  EXPECT_EQ(mounts[0].root, "/mnt1");
  EXPECT_EQ(mounts[0].mount_point, "/mnt with\\space");
  EXPECT_EQ(mounts[0].options, "rw,noatime");
  EXPECT_EQ(mounts[0].propagation, "shared:1 master:2");
  EXPECT_EQ(mounts[0].type, "ext3");
  EXPECT_EQ(mounts[0].source, "/dev/root");
  EXPECT_EQ(mounts[0].super_options, "rw,errors=continue");
}

TEST(MountInfo, LeavesOutLinesThatItDoesNotUnderstand) {
  EXPECT_TRUE(ParseMountInfo("").empty());
  EXPECT_TRUE(ParseMountInfo("36 35 98:16 /").empty());
  EXPECT_TRUE(ParseMountInfo("x 35 98:16 / / rw - ext3 a rw\n36 35 98 / / rw - e a rw").empty());
  EXPECT_TRUE(ParseMountInfo("1 2 3:4 / / rw shared:1 shared:2").empty());
}

TEST(MountInfo, ReadsThisProcesssMounts) {
  const auto mounts = ReadMountInfo();
  ASSERT_TRUE(mounts.has_value()) << mounts.error().message();
  EXPECT_FALSE(mounts->empty());
  EXPECT_TRUE(*IsMountPoint("/proc"));
  EXPECT_FALSE(*IsMountPoint("/proc/self"));
  EXPECT_FALSE(*IsMountPoint("/no such path"));
}

}  // namespace
}  // namespace kata::sys
