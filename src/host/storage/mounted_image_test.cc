// SPDX-License-Identifier: Apache-2.0
//
// Needs root, EROFS in the kernel, and mkfs.erofs. image_mounts_test.cc has what a real mount
// gives.
#include "host/storage/mounted_image.h"

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::storage {
namespace {

sys::MountInfo Line(const std::string& point, const std::string& source) {
  return {.root = "/", .mount_point = point, .type = "erofs", .source = source};
}

TEST(MountedImage, OtherMountsAreNone) {
  const sys::TemporaryDir dir("layer-image");
  const std::string file = dir.path() + "/layer.erofs";
  ASSERT_TRUE(sys::WriteFile(file, std::string(8192, '\0')));
  sys::MountInfo other = Line("/a", file);
  other.type = "ext4";
  sys::MountInfo part = Line("/a", file);
  part.root = "/usr";
  EXPECT_FALSE(FindMountedImage({}, "/a"));
  EXPECT_FALSE(FindMountedImage({other}, "/a"));
  EXPECT_FALSE(FindMountedImage({part}, "/a"));
  EXPECT_FALSE(FindMountedImage({Line("/b", file)}, "/a"));
  // Not an EROFS, not a file, not there.
  EXPECT_FALSE(FindMountedImage({Line("/", file)}, "/"));
  EXPECT_FALSE(FindMountedImage({Line("/", dir.path())}, "/"));
  EXPECT_FALSE(FindMountedImage({Line("/", dir.path() + "/nothing")}, "/"));
  EXPECT_FALSE(FindMountedImage({Line("/", "none")}, "/"));
}

}  // namespace
}  // namespace kata::storage
