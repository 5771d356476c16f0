// SPDX-License-Identifier: Apache-2.0
#include "host/storage/root_check.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::storage {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class RootCheckTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-root-check-XXXXXX";
    root_ = ::mkdtemp(name);
    fs::create_directories(root_ / "usr/bin");
    fs::create_directory(root_ / "proc");
    fs::create_symlink("usr/bin", root_ / "bin");
    std::ofstream(root_ / "usr/bin/tool") << "x";
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string Refusal(const RootUse& use) {
    const auto checked = CheckRoot(root_, use);
    return checked ? "" : checked.error().message();
  }

  fs::path root_;
  RootUse use_{.program = "tool",
               .cwd = "/",
               .search_path = "/sbin:/bin",
               .mounts = {{.destination = "/proc", .kernel = true}}};
};

TEST_F(RootCheckTest, FindsProgramsAsTheContainerWould) {
  EXPECT_EQ(Refusal(use_), "");
  use_.program = "/bin/tool";
  EXPECT_EQ(Refusal(use_), "");
  use_.program = "bin/../tool";
  use_.cwd = "/bin";
  EXPECT_EQ(Refusal(use_), "exec: \"bin/../tool\": stat bin/../tool: no such file or directory");
  use_.program = "./tool";
  EXPECT_EQ(Refusal(use_), "");
}

TEST_F(RootCheckTest, AMissingProgramIsNamedAsRuncNamesIt) {
  use_.program = "other";
  EXPECT_EQ(Refusal(use_), "exec: \"other\": executable file not found in $PATH");
  use_.program = "";
  EXPECT_EQ(Refusal(use_), "exec: \"\": executable file not found in $PATH");
  use_.program = "/bin/other";
  const auto checked = CheckRoot(root_, use_);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kNotFound);
  EXPECT_EQ(checked.error().message(),
            "exec: \"/bin/other\": stat /bin/other: no such file or directory");
}

TEST_F(RootCheckTest, ProgramsOfTheHostAreNotThoseOfAnImageWithAbsoluteLinks) {
  fs::create_symlink("/bin/sh", root_ / "usr/bin/link");
  use_.program = "/bin/link";
  EXPECT_THAT(Refusal(use_), HasSubstr("no such file or directory"));
}

TEST_F(RootCheckTest, WhatMountsOrHooksMayBringIsLeftToTheGuest) {
  use_.program = "other";
  RootUse hooked = use_;
  hooked.hooks = true;
  EXPECT_EQ(Refusal(hooked), "");
  RootUse mounted = use_;
  mounted.mounts.push_back({.destination = "/usr/bin/other", .files = true});
  EXPECT_EQ(Refusal(mounted), "");
  RootUse engine = use_;
  engine.mounts.push_back({.destination = "/etc/hosts", .files = true});
  EXPECT_NE(Refusal(engine), "");
  engine.program = "/run/podman-init";
  EXPECT_EQ(Refusal(engine), "");
}

TEST_F(RootCheckTest, KernelFilesAreNotMountedOverLinks) {
  fs::create_directory_symlink("usr", root_ / "sys");
  use_.mounts.push_back({.destination = "/sys", .kernel = true});
  EXPECT_EQ(Refusal(use_),
            "mount on \"/sys\": must be mounted on ordinary directory, not on a symbolic link");
}

TEST_F(RootCheckTest, DestinationsThatLeadRoundInCirclesAreRefused) {
  fs::create_symlink("two", root_ / "one");
  fs::create_symlink("one", root_ / "two");
  use_.mounts.push_back({.destination = "/one/data"});
  const auto checked = CheckRoot(root_, use_);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(checked.error().message(), HasSubstr("Too many levels of symbolic links"));
}

TEST_F(RootCheckTest, AnEmptyRootHasNoProgram) {
  fs::remove_all(root_);
  fs::create_directory(root_);
  EXPECT_THAT(Refusal(use_), HasSubstr("executable file not found"));
}

}  // namespace
}  // namespace kata::storage
