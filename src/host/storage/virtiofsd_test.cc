// SPDX-License-Identifier: Apache-2.0
#include "host/storage/virtiofsd.h"

#include <poll.h>
#include <stdlib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::storage {
namespace {

using std::chrono::seconds;
using testing::_;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

const VirtiofsdSpec kSpec{.program = "/v",
                          .shared_directory = "/share",
                          .run_directory = "/run/x",
                          .extra_args = {"--x"}};

TEST(VirtiofsdArguments, ConfineTheDaemonInItsOwnWords) {
  EXPECT_THAT(VirtiofsdArguments(kSpec, {.max_files = 1024, .kind = VirtiofsdKind::kQemu}),
              ElementsAre("/v", "--fd=3", "-o", "source=/share", "-o", _, "-o", "sandbox=namespace",
                          "-o", "xattr", "-o", "announce_submounts", "--thread-pool-size=1",
                          "--rlimit-nofile=1024", "--x"));
  EXPECT_THAT(VirtiofsdArguments(kSpec, {.max_files = 1024, .kind = VirtiofsdKind::kRust}),
              ElementsAre("/v", "--fd=3", "--shared-dir=/share", _, "--sandbox=namespace",
                          "--xattr", "--announce-submounts", "--log-level=warn",
                          "--thread-pool-size=1", "--rlimit-nofile=1024", "--x"));
}

TEST(VirtiofsdArguments, TheKindsSpellCacheModesDifferently) {
  VirtiofsdSpec spec = kSpec;
  spec.cache = "never";
  EXPECT_THAT(VirtiofsdArguments(spec, {.kind = VirtiofsdKind::kQemu}), Contains("cache=none"));
  EXPECT_THAT(VirtiofsdArguments(spec, {.kind = VirtiofsdKind::kRust}), Contains("--cache=never"));
}

TEST(VirtiofsdArguments, PagesAreKeptWhereChangesAreStillSeenSoon) {
  EXPECT_THAT(VirtiofsdArguments(kSpec, {.kind = VirtiofsdKind::kQemu}),
              Contains("cache=always,timeout=0.1"));
  EXPECT_THAT(VirtiofsdArguments(kSpec, {.kind = VirtiofsdKind::kRust}), Contains("--cache=auto"));
}

class VirtiofsdTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-virtiofsd-test-XXXXXX";
    dir_ = ::mkdtemp(name);
    const std::string of_qemu = "/usr/lib/qemu/virtiofsd";
    spec_ = {.program = sys::Exists(of_qemu) ? of_qemu : "/usr/libexec/virtiofsd",
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
  EXPECT_EQ((*daemon)->ExitReason(), "");
  EXPECT_FALSE(sys::Exists(dir_ + "/virtiofsd.sock"));
  {
    const sys::UniqueFd vmm = (*daemon)->TakeConnection();
  }
  EXPECT_TRUE(sys::WaitFor((*daemon)->pidfd(), POLLIN, Deadline::After(seconds(20))));
  EXPECT_EQ((*daemon)->ExitReason(), "");
}

TEST_F(VirtiofsdTest, ItsLastWordsExplainAFailure) {
  const std::string broken = dir_ + "/virtiofsd";
  ASSERT_TRUE(sys::WriteFile(broken, "#!/bin/sh\necho no such option >&2\nexit 3\n", 0755));
  spec_.program = broken;
  auto daemon = Virtiofsd::Start(spec_, Deadline::After(seconds(10)));
  ASSERT_TRUE(daemon) << daemon.error().message();
  ASSERT_TRUE(sys::WaitFor((*daemon)->pidfd(), POLLIN, Deadline::After(seconds(20))));
  EXPECT_EQ((*daemon)->ExitReason(), "virtiofsd ended with exit status 3: no such option");
}

TEST_F(VirtiofsdTest, NamesAMissingProgram) {
  spec_.program = dir_ + "/nowhere";
  const auto daemon = Virtiofsd::Start(spec_, Deadline::After(seconds(10)));
  EXPECT_EQ(daemon.error().code(), Code::kNotFound);
  EXPECT_THAT(daemon.error().message(), HasSubstr("/nowhere"));
}

}  // namespace
}  // namespace kata::storage
