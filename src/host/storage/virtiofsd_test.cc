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
using testing::HasSubstr;

class VirtiofsdTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-virtiofsd-test-XXXXXX";
    dir_ = ::mkdtemp(name);
    spec_ = {.program = "",
             .shared_directory = dir_,
             .run_directory = dir_,
             .cache = "auto",
             .extra_args = {}};
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(dir_)); }

  // It serves while there is a VMM, and goes with it.
  void RunUntilTheVmmGoes(const std::string& program) {
    if (::geteuid() != 0 || !sys::Exists(program)) GTEST_SKIP() << "needs root and " << program;
    spec_.program = program;
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

  std::string dir_;
  VirtiofsdSpec spec_;
};

TEST_F(VirtiofsdTest, TheOneInCRunsUntilTheVmmGoes) {
  RunUntilTheVmmGoes("/usr/lib/qemu/virtiofsd");
}

TEST_F(VirtiofsdTest, TheOneInRustRunsUntilTheVmmGoes) {
  const char* other = ::getenv("KATA_TEST_VIRTIOFSD");
  RunUntilTheVmmGoes(other != nullptr ? other : "/usr/libexec/virtiofsd");
}

TEST_F(VirtiofsdTest, ItsLastWordsExplainAFailure) {
  spec_.program = dir_ + "/virtiofsd";
  ASSERT_TRUE(
      sys::WriteFile(spec_.program,
                     "#!/bin/sh\n[ \"$1\" = --help ] && echo '--shared-dir\n--fd' && exit 0\n"
                     "echo no such option >&2\nexit 3\n",
                     0755));
  auto daemon = Virtiofsd::Start(spec_, Deadline::After(seconds(10)));
  ASSERT_TRUE(daemon) << daemon.error().message();
  ASSERT_TRUE(sys::WaitFor((*daemon)->pidfd(), POLLIN, Deadline::After(seconds(20))));
  EXPECT_EQ((*daemon)->ExitReason(), "virtiofsd ended with exit status 3: no such option");
}

TEST_F(VirtiofsdTest, RefusesAProgramThatIsNone) {
  spec_.program = "/bin/true";
  const auto daemon = Virtiofsd::Start(spec_, Deadline::After(seconds(10)));
  EXPECT_EQ(daemon.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(daemon.error().message(), HasSubstr("start virtiofsd: /bin/true: not a virtiofsd"));
}

TEST_F(VirtiofsdTest, NamesAMissingProgram) {
  spec_.program = dir_ + "/nowhere";
  const auto daemon = Virtiofsd::Start(spec_, Deadline::After(seconds(10)));
  EXPECT_EQ(daemon.error().code(), Code::kNotFound);
  EXPECT_THAT(daemon.error().message(), HasSubstr("/nowhere"));
}

}  // namespace
}  // namespace kata::storage
