// SPDX-License-Identifier: Apache-2.0
#include "host/storage/verity.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/storage/testing/verity_image.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::storage {
namespace {

using testing::HasSubstr;

class VerityTest : public testing::Test {
 protected:
  // What is wrong with the image, or "".
  std::string Check() const {
    const auto checked = CheckVerity(image_, image_ + ".dmverity");
    return checked ? "" : checked.error().message();
  }
  // The file of `kVerityImageSize` bytes and what veritysetup has made of it.
  void Write(const std::string& hash = std::string(kVerityRootHash)) const {
    ASSERT_TRUE(sys::WriteFile(image_, VerityImage()));
    ASSERT_TRUE(sys::WriteFile(image_ + ".dmverity",
                               R"({"roothash":")" + hash + R"(","hashoffset":1048576})"));
  }

  sys::TemporaryDir dir_{"verity"};
  std::string image_ = dir_.path() + "/layer.erofs";
};

TEST_F(VerityTest, TheImageThatTheHashIsOfPasses) {
  Write();
  EXPECT_EQ(Check(), "");
}

TEST_F(VerityTest, OneChangedByteAnywhereInItIsNoticed) {
  for (const size_t at : {size_t{0}, size_t{4096}, kVerityImageSize - 1}) {
    Write();
    std::string content = sys::ReadFile(image_).value();
    content[at] = static_cast<char>(content[at] ^ 1);
    ASSERT_TRUE(sys::WriteFile(image_, content));
    EXPECT_THAT(Check(), HasSubstr("it was changed: its root hash is")) << at;
  }
}

TEST_F(VerityTest, AnotherHashIsNotItsOwn) {
  Write(std::string(64, '0'));
  EXPECT_THAT(Check(), HasSubstr("instead of 0000"));
}

TEST_F(VerityTest, WhatIsNoTreeIsRefused) {
  const auto refused = [&](size_t at, const std::string& bytes) {
    Write();
    std::string content = sys::ReadFile(image_).value();
    content.replace(kVerityImageSize + at, bytes.size(), bytes);
    EXPECT_TRUE(sys::WriteFile(image_, content));
    return Check();
  };
  EXPECT_THAT(refused(0, "other"), HasSubstr("no tree of dm-verity at byte 1048576"));
  EXPECT_THAT(refused(32, "sha512"), HasSubstr("hash \"sha512\""));
  EXPECT_THAT(refused(64, std::string(4, '\0')), HasSubstr("impossible sizes"));
  EXPECT_THAT(refused(72, std::string(8, '\xff')), HasSubstr("impossible sizes"));
  Write();
  ASSERT_TRUE(sys::WriteFile(image_, "short"));
  EXPECT_THAT(Check(), HasSubstr("behind its end"));
}

TEST(VerityRoot, IsReadFromJson) {
  const std::string hash(64, 'A');
  const auto root = ParseVerityRoot(R"({"roothash":")" + hash + R"(","hashoffset":4096})");
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_EQ(root->hash, std::string(64, 'a'));
  EXPECT_EQ(root->tree_offset, 4096U);
  for (const char* text :
       {"", "[]", "{}", R"({"roothash":1,"hashoffset":1})", R"({"roothash":"00","hashoffset":1})",
        R"({"roothash":"00","hashoffset":-1})"}) {
    EXPECT_FALSE(ParseVerityRoot(text)) << text;
  }
}

}  // namespace
}  // namespace kata::storage
