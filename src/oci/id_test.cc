// SPDX-License-Identifier: Apache-2.0
#include "oci/id.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::oci {
namespace {

using testing::HasSubstr;

TEST(ValidateId, AcceptsTheIdsOfEngines) {
  for (const std::string& id :
       {std::string("a"), std::string("web-1"), std::string("my.app_2"), std::string(64, 'f'),
        std::string(kMaxIdBytes, 'x'), std::string("0")}) {
    EXPECT_TRUE(ValidateId("container id", id)) << id;
  }
}

TEST(ValidateId, RefusesWithTheRuleThatIsBroken) {
  const struct {
    std::string id;
    std::string rule;
  } cases[] = {
      {"", "container id is empty"},
      {"a/b", "contains '/'"},
      {"../etc", "contains '/'"},
      {"..", "must begin with a letter or a digit"},
      {"-rf", "must begin with a letter or a digit"},
      {"a..b", "must not contain \"..\""},
      {std::string(1000, 'x'), "1000 characters long, at most 76"},
      {std::string("a\0b", 3), "contains '\\x00'"},
      {"a b", "contains ' '"},
      {"\xc3\xa9", "contains '\\xc3'"},
      {"a\nb", "contains '\\x0a'"},
  };
  for (const auto& c : cases) {
    const Result<void> result = ValidateId("container id", c.id);
    ASSERT_FALSE(result) << c.id;
    EXPECT_EQ(result.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(result.error().message(), HasSubstr(c.rule));
    EXPECT_LT(result.error().message().size(), 400u);
  }
}

}  // namespace
}  // namespace kata::oci
