// SPDX-License-Identifier: Apache-2.0
#include "host/plan/saved_container.h"

#include <string>

#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

TEST(SavedContainer, ComesBackAsItWas) {
  const SavedContainer saved{.id = "c \"1\"",
                             .root_disk = "disk0",
                             .terminal = true,
                             .paused = true,
                             .first_stream = 4'000'000'001,
                             .program = SavedProgram{.args = {"sh", "-c", "\"\n"},
                                                     .uid = 1000,
                                                     .gid = 4'000'000'000,
                                                     .mounts = {"/proc", "/tmp"}}};
  const auto parsed = ParseSavedContainer(Format(saved));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, saved);
}

TEST(SavedContainer, MayBeOfATimeThatDidNotKnowTheProgram) {
  const auto parsed = ParseSavedContainer(Format({.id = "c", .root_disk = "d"}));
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->program);
}

TEST(SavedContainer, WhatIsMissingOrOfAnotherTypeIsDamage) {
  const std::string whole = Format({.id = "c", .root_disk = "d"});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseSavedContainer(whole.substr(0, size))) << size;
  }
  for (const char* text :
       {"[]", "{}", "null",
        R"({"id":1,"root_disk":"","terminal":false,"paused":false,"first_stream":1})",
        R"({"id":"","root_disk":"","terminal":0,"paused":false,"first_stream":1})",
        R"({"id":"","root_disk":"","terminal":false,"paused":false,"first_stream":-1})",
        R"({"id":"","root_disk":"","terminal":false,"paused":false,"first_stream":4294967296})",
        R"({"id":"","root_disk":"","terminal":false,"paused":false,"first_stream":1,"program":1})",
        R"({"id":"","root_disk":"","terminal":false,"paused":false,"first_stream":1,
            "program":{"args":["a",1],"uid":0,"gid":0,"mounts":[]}})"}) {
    const auto parsed = ParseSavedContainer(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), Code::kDataLoss);
  }
}

TEST(CheckpointFile, NamesTheSnapshot) {
  EXPECT_EQ(ParseCheckpoint(FormatCheckpoint("abc", "/store")).value(), "abc");
  for (const char* text : {"", "{}", R"({"format":2,"snapshot":"abc"})", R"({"format":1})"}) {
    EXPECT_EQ(ParseCheckpoint(text).error().code(), Code::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace kata::sandbox
