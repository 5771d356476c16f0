// SPDX-License-Identifier: Apache-2.0
#include "host/storage/direct_volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kInfo[] =
    R"({"volume-type":"block","device":"/dev/sdf","fstype":"ext4","metadata":{"fsGroup":"1000",)"
    R"("fsGroupChangePolicy":"OnRootMismatch"},"options":["noatime","ro"]})";

TEST(Base64Url, IsThatOfRfc4648WithPadding) {
  EXPECT_EQ(Base64Url(""), "");
  EXPECT_EQ(Base64Url("f"), "Zg==");
  EXPECT_EQ(Base64Url("fo"), "Zm8=");
  EXPECT_EQ(Base64Url("foo"), "Zm9v");
  EXPECT_EQ(Base64Url("foob"), "Zm9vYg==");
  EXPECT_EQ(Base64Url("\xfb\xff\xfe"), "-__-");
}

TEST(DirectVolumes, KeepsWhatADriverSaidUnderTheVolumesPath) {
  const sys::TemporaryDir directory{"direct"};
  const DirectVolumes volumes(directory.path() + "/direct-volumes");
  EXPECT_EQ(volumes.Find("/v").value(), std::nullopt);
  ASSERT_TRUE(volumes.Add("/v", kInfo));
  EXPECT_EQ(sys::ReadFile(directory.path() + "/direct-volumes/L3Y=/mountInfo.json").value_or(""),
            kInfo);
  const auto found = volumes.Find("/v");
  ASSERT_TRUE(found && *found) << found.error().message();
  EXPECT_EQ((*found)->device, "/dev/sdf");
  EXPECT_EQ((*found)->fs_type, "ext4");
  EXPECT_THAT((*found)->options, ElementsAre("noatime", "ro"));
  EXPECT_EQ((*found)->group, 1000u);
  EXPECT_TRUE((*found)->only_on_mismatch);
  EXPECT_EQ(volumes.Add("/v", kInfo).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(volumes.UsersOf("/w").error().code(), Code::kNotFound);
  ASSERT_TRUE(volumes.AddUser("/v", "pod"));
  EXPECT_THAT(volumes.UsersOf("/v").value(), ElementsAre("pod"));
  volumes.RemoveUser("/v", "pod");
  EXPECT_THAT(volumes.UsersOf("/v").value(), testing::IsEmpty());
  ASSERT_TRUE(volumes.Remove("/v"));
  EXPECT_EQ(volumes.Find("/v").value(), std::nullopt);
  EXPECT_TRUE(volumes.Remove("/v")) << "what is not there is fine";
}

TEST(DirectVolumes, RefusesWhatIsNoMountInfo) {
  for (const char* text : {"", "[]", "{}", R"({"volume-type":"nfs","device":"/d","fstype":"x"})",
                           R"({"volume-type":"block","device":"d","fstype":"ext4"})",
                           R"({"volume-type":"block","device":"/d"})",
                           R"({"volume-type":"block","device":"/d","fstype":7})",
                           R"({"volume-type":"block","device":"/d","fstype":"x","options":"ro"})",
                           R"({"volume-type":"block","device":"/d","fstype":"x","options":[7]})",
                           R"({"volume-type":"block","device":"/d","fstype":"x","metadata":[]})",
                           R"({"volume-type":"block","device":"/d","fstype":"x",)"
                           R"("metadata":{"fsGroup":"x"}})"}) {
    const auto parsed = ParseDirectVolume(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(parsed.error().message(), HasSubstr("mountInfo.json"));
  }
  EXPECT_FALSE(DirectVolumes("/nowhere").Add("relative", kInfo));
}

}  // namespace
}  // namespace kata::storage
