// SPDX-License-Identifier: Apache-2.0
#include "host/storage/virtiofsd_features.h"

#include <stdlib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/storage/testing/virtiofsd_help.h"
#include "sys/files.h"

namespace kata::storage {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsSupersetOf;
using Kind = VirtiofsdFeatures::Kind;

TEST(ParseVirtiofsdHelp, KnowsTheOneInRustByItsLongOptions) {
  const auto features = ParseVirtiofsdHelp(kHelpOfRust);
  ASSERT_TRUE(features) << features.error().message();
  EXPECT_EQ(features->kind, Kind::kRust);
  EXPECT_THAT(features->options, IsSupersetOf({"shared-dir", "fd", "cache", "xattr", "posix-acl",
                                               "inode-file-handles", "no-readdirplus", "help"}));
  EXPECT_TRUE(features->mount_options.empty()) << "-o is another way to give the same";
  EXPECT_TRUE(features->metadata);
  EXPECT_FALSE(features->Has("never")) << "a value is no option";
}

TEST(ParseVirtiofsdHelp, KnowsTheOneInCByItsMountOptions) {
  const auto features = ParseVirtiofsdHelp(kHelpOfC);
  ASSERT_TRUE(features) << features.error().message();
  EXPECT_EQ(features->kind, Kind::kC);
  EXPECT_THAT(features->mount_options,
              IsSupersetOf({"source", "cache", "timeout", "xattr", "no_xattr", "posix_acl",
                            "no_posix_acl", "announce_submounts", "debug", "sandbox"}));
  EXPECT_THAT(features->options, IsSupersetOf({"help", "version", "fd", "thread-pool-size"}));
  EXPECT_FALSE(features->metadata);
}

TEST(ParseVirtiofsdHelp, RefusesWhatNoVirtiofsdSays) {
  for (const char* text :
       {"", "usage: true [options]\n    --fd=NUM\n", "--shared-dir\n", "\n\n- \n--\n-o"}) {
    const auto features = ParseVirtiofsdHelp(text);
    ASSERT_FALSE(features) << text;
    EXPECT_EQ(features.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(features.error().message(), HasSubstr("not a virtiofsd"));
  }
}

class AskVirtiofsdTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-virtiofsd-test-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(dir_)); }
  Result<VirtiofsdFeatures> Ask(const std::string& script) {
    const std::string program = dir_ + "/virtiofsd";
    EXPECT_TRUE(sys::WriteFile(program, script, 0755));
    return AskVirtiofsd(program, Deadline::After(seconds(10)));
  }
  std::string dir_;
};

TEST_F(AskVirtiofsdTest, RunsTheProgramForItsHelp) {
  const auto features = Ask("#!/bin/sh\n[ \"$*\" = --help ] && echo '--shared-dir\n--fd'\n");
  ASSERT_TRUE(features) << features.error().message();
  EXPECT_EQ(features->kind, Kind::kRust);
}

TEST_F(AskVirtiofsdTest, ItsLastWordsExplainAFailure) {
  const auto failed = Ask("#!/bin/sh\necho 'no libc of mine' >&2\nexit 3\n");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(),
            dir_ + "/virtiofsd --help ended with exit status 3: no libc of mine\n");
  const auto other = Ask("#!/bin/sh\necho hello\n");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message(),
            dir_ + "/virtiofsd: not a virtiofsd: its --help says \"hello\"");
}

}  // namespace
}  // namespace kata::storage
