// SPDX-License-Identifier: Apache-2.0
#include "host/storage/virtiofsd.h"

#include <poll.h>
#include <stdlib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/file.h"

namespace kata::storage {
namespace {

using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;

TEST(VirtiofsdArguments, ConfineTheDaemonAndSpeakBothDialects) {
  const auto arguments = VirtiofsdArguments({.program = "/v",
                                             .shared_directory = "/share",
                                             .run_directory = "/run/x",
                                             .cache = "never",
                                             .extra_args = {"--extra"}},
                                            {.max_files = 1024, .has_timeout = true});
  EXPECT_EQ(arguments.front(), "/v");
  EXPECT_EQ(arguments.back(), "--extra");
  EXPECT_THAT(arguments, Contains("source=/share"));
  EXPECT_THAT(arguments, Contains("cache=none"));
  EXPECT_THAT(arguments, Contains("sandbox=namespace"));
  EXPECT_THAT(arguments, Contains("--rlimit-nofile=1024"));
}

TEST(VirtiofsdArguments, PagesAreKeptWhereChangesAreStillSeenSoon) {
  const VirtiofsdSpec spec{
      .program = "/v", .shared_directory = "/share", .run_directory = "/run/x"};
  EXPECT_THAT(VirtiofsdArguments(spec, {.has_timeout = true}),
              Contains("cache=always,timeout=0.1"));
  EXPECT_THAT(VirtiofsdArguments(spec, {.has_timeout = false}), Contains("cache=auto"));
}

class VirtiofsdTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-virtiofsd-test-XXXXXX";
    dir_ = ::mkdtemp(name);
    spec_ = {.program = "/usr/lib/qemu/virtiofsd",
             .shared_directory = dir_,
             .run_directory = dir_,
             .cache = "auto",
             .extra_args = {}};
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(dir_)); }
  std::string dir_;
  VirtiofsdSpec spec_;
};

TEST_F(VirtiofsdTest, RunsUntilTheVmmGoes) {
  if (::geteuid() != 0 || !sys::Exists(spec_.program)) {
    GTEST_SKIP() << "needs root and " << spec_.program;
  }
  auto daemon = Virtiofsd::Start(spec_, Deadline::After(seconds(10)));
  ASSERT_TRUE(daemon) << daemon.error().message();
  EXPECT_EQ((*daemon)->Obituary(), "");
  EXPECT_FALSE(sys::Exists(dir_ + "/virtiofsd.sock"));
  {
    const sys::UniqueFd vmm = (*daemon)->TakeConnection();
  }
  EXPECT_TRUE(sys::WaitFor((*daemon)->pidfd(), POLLIN, Deadline::After(seconds(20))));
  EXPECT_EQ((*daemon)->Obituary(), "");
}

TEST_F(VirtiofsdTest, ItsLastWordsExplainAFailure) {
  const std::string broken = dir_ + "/virtiofsd";
  ASSERT_TRUE(sys::WriteFile(broken, "#!/bin/sh\necho no such option >&2\nexit 3\n", 0755));
  spec_.program = broken;
  auto daemon = Virtiofsd::Start(spec_, Deadline::After(seconds(10)));
  ASSERT_TRUE(daemon) << daemon.error().message();
  ASSERT_TRUE(sys::WaitFor((*daemon)->pidfd(), POLLIN, Deadline::After(seconds(20))));
  EXPECT_EQ((*daemon)->Obituary(), "virtiofsd ended with exit status 3: no such option");
}

TEST_F(VirtiofsdTest, NamesAMissingProgram) {
  spec_.program = dir_ + "/nowhere";
  const auto daemon = Virtiofsd::Start(spec_, Deadline::After(seconds(10)));
  EXPECT_EQ(daemon.error().code(), Code::kNotFound);
  EXPECT_THAT(daemon.error().message(), HasSubstr("/nowhere"));
}

}  // namespace
}  // namespace kata::storage
