// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/json_text.h"

#include <array>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::cli::setup {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::array<std::string_view, 2> kKata = {"runtimes", "kata"};
constexpr std::array<std::string_view, 1> kDefault = {"default-runtime"};

std::string Set(std::string_view text, JsonPath path, std::string_view value) {
  const auto set = SetMember(text, path, value);
  return set ? *set : "error: " + set.error().message();
}

std::string Remove(std::string_view text, JsonPath path) {
  const auto removed = RemoveMember(text, path);
  return removed ? *removed : "error: " + removed.error().message();
}

TEST(JsonText, AddsAMemberInTheFormOfItsNeighbours) {
  struct Case {
    const char* text;
    const char* expected;
  };
  for (const Case& each : {
           Case{"{}",
                "{\n  \"runtimes\": {\n    \"kata\": {\n      \"path\": \"/k\"\n    }\n  }\n}"},
           Case{"{ }\n",
                "{\n  \"runtimes\": {\n    \"kata\": {\n      \"path\": \"/k\"\n    }\n  }\n}\n"},
           Case{"{\n    \"debug\": true\n}\n",
                "{\n    \"debug\": true,\n    \"runtimes\": {\n        \"kata\": {\n            "
                "\"path\": \"/k\"\n        }\n    }\n}\n"},
           Case{"{\r\n\t\"debug\":true\r\n}",
                "{\r\n\t\"debug\":true,\r\n\t\"runtimes\": {\r\n\t\t\"kata\": {\r\n\t\t\t\"path\": "
                "\"/k\"\r\n\t\t}\r\n\t}\r\n}"},
           Case{R"({"debug": true})", R"({"debug": true, "runtimes": {"kata":{"path":"/k"}}})"},
           Case{"{\n  \"runtimes\": {\n    \"x\": {}\n  },\n  \"a\": [1, {\"b\": \"}\"}]\n}\n",
                "{\n  \"runtimes\": {\n    \"x\": {},\n    \"kata\": {\n      \"path\": \"/k\"\n   "
                " }\n"
                "  },\n  \"a\": [1, {\"b\": \"}\"}]\n}\n"},
           Case{"{\n  \"runtimes\": {},\n  \"a\": 1\n}",
                "{\n  \"runtimes\": {\n    \"kata\": {\n      \"path\": \"/k\"\n    }\n  },\n  "
                "\"a\": 1\n}"},
       }) {
    EXPECT_EQ(Set(each.text, kKata, R"({"path":"/k"})"), each.expected);
  }
}

TEST(JsonText, ReplacesAValueAndNothingElse) {
  EXPECT_EQ(Set("{ \"default-runtime\" :  \"runc\" , \"n\": 1.50 }", kDefault, "\"kata\""),
            "{ \"default-runtime\" :  \"kata\" , \"n\": 1.50 }");
  EXPECT_EQ(Set("{\"u\": \"\\u00e9\", \"runtimes\": {\"kata\": {\"path\": \"/old\"}}}", kKata,
                R"({"path":"/k"})"),
            "{\"u\": \"\\u00e9\", \"runtimes\": {\"kata\": {\"path\":\"/k\"}}}");
}

TEST(JsonText, WhatWasAddedIsRemovedToTheByte) {
  for (const char* text :
       {"{\n    \"debug\": true\n}\n", R"({"debug": true})", "{\r\n\t\"debug\":true\r\n}",
        "{\n  \"runtimes\": {\n    \"x\": {}\n  },\n  \"a\": 1\n}\n"}) {
    const std::string with = Set(text, kDefault, "\"kata\"");
    EXPECT_NE(with, text);
    EXPECT_EQ(Remove(with, kDefault), text);
  }
  const std::string text = "{\n  \"runtimes\": {\n    \"x\": {}\n  }\n}\n";
  EXPECT_EQ(Remove(Set(text, kKata, R"({"path":"/k"})"), kKata), text);
}

TEST(JsonText, RemovesTheFirstTheLastAndTheOnlyMember) {
  EXPECT_EQ(Remove(R"({"default-runtime": "x", "b": 1})", kDefault), R"({"b": 1})");
  EXPECT_EQ(Remove(R"({"b": 1, "default-runtime": "x"})", kDefault), R"({"b": 1})");
  EXPECT_EQ(Remove(R"({ "default-runtime": "x" })", kDefault), "{}");
  EXPECT_EQ(Remove(R"({"b": 1})", kDefault), R"({"b": 1})");
}

TEST(JsonText, RefusesWhatItCannotTellApart) {
  EXPECT_THAT(Set(R"({"runtimes": {}, "runtimes": {}})", kKata, "{}"),
              HasSubstr("\"runtimes\" stands twice"));
  EXPECT_THAT(Set(R"({"runtimes": []})", kKata, "{}"), HasSubstr("\"runtimes\" is not an object"));
}

TEST(JsonText, NamesTheLineThatIsNoJson) {
  const auto text = CheckJsonObject("{\n  \"a\": 1,\n  // comment\n}", "/etc/d.json");
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message(), StartsWith("/etc/d.json:3:"));
  EXPECT_THAT(text.error().message(), HasSubstr("not valid JSON"));
  EXPECT_FALSE(CheckJsonObject("[]", "f"));
  EXPECT_FALSE(CheckJsonObject("{} {}", "f"));
  EXPECT_TRUE(CheckJsonObject("{}", "f"));
}

TEST(JsonText, ReadsAMemberWithEscapesInItsName) {
  const auto value = GetMember(R"({"run\u0074imes": {"kata": {"a" : [1, 2]}}})", kKata);
  ASSERT_TRUE(value);
  EXPECT_EQ(*value, R"({"a":[1,2]})");
}

}  // namespace
}  // namespace kata::cli::setup
