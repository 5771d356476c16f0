// SPDX-License-Identifier: Apache-2.0
#include "host/machine/background.h"

#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

TEST(Directories, ComeBackWhateverTheirNames) {
  const std::vector<std::string> names = {"/var/lib/docker/overlay2/a/diff", "/a b\n\"c\"\xff",
                                          "/"};
  const auto read = ParseDirectories(FormatDirectories(names));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, names);
  EXPECT_TRUE(ParseDirectories("")->empty());
}

TEST(Directories, NothingElseIsTaken) {
  using std::string_view_literals::operator""sv;
  for (const std::string_view text : {"/a"sv, "\0"sv, "a\0"sv, "/a\0\0"sv, "/a\0/b"sv}) {
    EXPECT_FALSE(ParseDirectories(text)) << text;
  }
}

}  // namespace
}  // namespace kata::sandbox
