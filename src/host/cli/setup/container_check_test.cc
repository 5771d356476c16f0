// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/container_check.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::cli::setup {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Outcome = SetupStep::Outcome;

TEST(ContainerCheck, TriesImagesThatAreSureToHaveACatFirst) {
  EXPECT_THAT(ImagesToTry({"registry.example/app:1", "<none>:<none>", "docker.io/library/alpine:3",
                           "k8s/pause:3.9", "debian:12", "busybox:latest", "other:1"}),
              ElementsAre("busybox:latest", "docker.io/library/alpine:3", "debian:12",
                          "registry.example/app:1"));
}

TEST(ContainerCheck, AnotherBootIdIsTheProof) {
  const SetupStep step =
      JudgeContainer("busybox", {.out = "1-2\nLinux version 6.12.30 (who) x\n"}, "3-4");
  EXPECT_EQ(step.outcome, Outcome::kDone);
  EXPECT_EQ(step.detail,
            "a container of busybox ran in a machine of its own, on Linux version 6.12.30");
}

TEST(ContainerCheck, TheHostsBootIdIsAFailure) {
  const SetupStep step = JudgeContainer("busybox", {.out = "3-4\nLinux version 6.1\n"}, "3-4");
  EXPECT_EQ(step.outcome, Outcome::kFailed);
  EXPECT_THAT(step.detail, HasSubstr("host's own kernel"));
}

TEST(ContainerCheck, AFailureIsToldInTheLastWordsOfTheProgram) {
  const SetupStep step =
      JudgeContainer("busybox", {.status = 125, .err = "warning\nno kernel\n\n"}, "3-4");
  EXPECT_EQ(step.outcome, Outcome::kFailed);
  EXPECT_THAT(step.detail, HasSubstr("no kernel"));
}

TEST(ContainerCheck, AnImageWithoutACatIsNobodysFault) {
  std::vector<std::string> tried;
  const auto run = [&tried](const std::string& image) -> Result<ProgramResult> {
    tried.push_back(image);
    return ProgramResult{.status = 127};
  };
  EXPECT_EQ(CheckByContainer({"a", "b"}, false, run).outcome, Outcome::kSkipped);
  EXPECT_THAT(tried, ElementsAre("a", "b"));
  EXPECT_EQ(CheckByContainer({}, false, run).outcome, Outcome::kSkipped);
  EXPECT_EQ(CheckByContainer({"a"}, true, run).outcome, Outcome::kFailed) << "the user named it";
}

TEST(ContainerCheck, TellsTheHostsOwnKernel) {
  const std::string own = sys::ReadFile("/proc/sys/kernel/random/boot_id").value();
  const auto run = [&own](const std::string& /*image*/) -> Result<ProgramResult> {
    return ProgramResult{.out = own + "Linux version 6.1 (x)\n"};
  };
  EXPECT_EQ(CheckByContainer({"a"}, false, run).outcome, Outcome::kFailed);
}

}  // namespace
}  // namespace kata::cli::setup
