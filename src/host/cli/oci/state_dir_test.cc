// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/state_dir.h"

#include <stdlib.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::cli::oci {
namespace {

class StateDirTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/kata-state-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    root_ = std::string(path) + "/root";
  }
  void TearDown() override {
    std::filesystem::remove_all(std::filesystem::path(root_).parent_path());
  }
  Result<StateDir> Claim(const std::string& id) {
    return StateDir::Claim(root_, id, [this](const std::string&) { ++cleared_; });
  }

  std::string root_;
  int cleared_ = 0;
};

TEST_F(StateDirTest, AClaimedIdCannotBeClaimedAgain) {
  const auto first = Claim("c1");
  ASSERT_TRUE(first) << first.error().message();
  const auto second = Claim("c1");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(second.error().message(), "container with given ID already exists");
  EXPECT_TRUE(Claim("c2"));
}

TEST_F(StateDirTest, AnIdStaysTakenOnceItsStateIsSaved) {
  {
    const auto dir = Claim("c1");
    ASSERT_TRUE(dir);
    State state;
    state.id = "c1";
    ASSERT_TRUE(SaveState(root_, state));
  }
  EXPECT_FALSE(Claim("c1"));
  EXPECT_EQ(cleared_, 0);
}

TEST_F(StateDirTest, WhatAKilledCreateLeftIsClearedAway) {
  {
    const auto dir = Claim("c1");
    ASSERT_TRUE(dir);
    ASSERT_TRUE(sys::WriteFile(dir->path() + "/config.json", "{}"));
  }
  const auto again = Claim("c1");
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(cleared_, 1);
  EXPECT_FALSE(sys::Exists(again->path() + "/config.json"));
}

TEST_F(StateDirTest, StatesComeBackAsTheyWereSaved) {
  const auto dir = Claim("c1");
  ASSERT_TRUE(dir);
  const State saved{.id = "c1",
                    .oci_version = "1.2.0",
                    .bundle = "/b",
                    .rootfs = "/b/r",
                    .created = "2026-01-01T00:00:00Z",
                    .annotations = {{"k", "v"}},
                    .shim = "/run/s",
                    .pid = 7,
                    .owner = 3};
  ASSERT_TRUE(SaveState(root_, saved));
  const auto loaded = LoadState(root_, "c1");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->bundle, "/b");
  EXPECT_EQ(loaded->rootfs, "/b/r");
  EXPECT_EQ(loaded->annotations, saved.annotations);
  EXPECT_EQ(loaded->shim, "/run/s");
  EXPECT_EQ(loaded->pid, 7);
  EXPECT_EQ(loaded->owner, 3u);
  ASSERT_EQ(ListStates(root_).size(), 1u);
}

TEST_F(StateDirTest, AMissingContainerDoesNotExist) {
  EXPECT_EQ(LoadState(root_, "c1").error().message(), "container does not exist");
  EXPECT_EQ(StateDir::Lock(root_, "c1").error().code(), Code::kNotFound);
  EXPECT_TRUE(ListStates(root_).empty());
}

TEST_F(StateDirTest, AStateOfAnotherShapeIsAnError) {
  const auto dir = Claim("c1");
  ASSERT_TRUE(dir);
  ASSERT_TRUE(sys::WriteFile(dir->path() + "/state.json", R"({"id":7})"));
  EXPECT_EQ(LoadState(root_, "c1").error().code(), Code::kDataLoss);
}

TEST_F(StateDirTest, IdsThatAreNoNamesAreRefused) {
  for (const char* id : {"", "..", "a/b", "a b"}) EXPECT_FALSE(CheckId(id)) << id;
}

}  // namespace
}  // namespace kata::cli::oci
