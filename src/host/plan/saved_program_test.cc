// SPDX-License-Identifier: Apache-2.0
#include "host/plan/saved_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using ::testing::HasSubstr;

oci::Spec Counting() {
  oci::Spec spec;
  spec.mutable_process()->add_args("count");
  spec.mutable_process()->add_args("up");
  spec.mutable_process()->mutable_user()->set_uid(1000);
  spec.add_mounts()->set_destination("/proc");
  spec.add_mounts()->set_destination("/etc/hosts");
  return spec;
}

TEST(SavedProgram, LetsTheSameGoOnWhateverElseDiffers) {
  oci::Spec wanted = Counting();
  wanted.set_hostname("another");
  wanted.mutable_process()->add_env("HOSTNAME=another");
  wanted.mutable_linux()->mutable_resources()->mutable_memory()->set_limit(1 << 30);
  wanted.mutable_mounts(1)->set_source("/elsewhere/hosts");
  wanted.mutable_mounts()->SwapElements(0, 1);
  EXPECT_TRUE(CheckSameProgram(ProgramOf(Counting()), wanted));
}

TEST(SavedProgram, NamesWhatDiffers) {
  const SavedProgram saved = ProgramOf(Counting());
  const auto refusal = [&](const oci::Spec& wanted) {
    const auto same = CheckSameProgram(saved, wanted);
    return same ? std::string() : same.error().message();
  };
  oci::Spec other = Counting();
  other.mutable_process()->set_args(1, "down");
  EXPECT_THAT(refusal(other), HasSubstr("program is \"count up\", and the new one asks for "
                                        "\"count down\""));
  other = Counting();
  other.mutable_process()->mutable_user()->set_uid(0);
  EXPECT_THAT(refusal(other), HasSubstr("user is 1000:0, and the new one asks for 0:0"));
  other = Counting();
  other.add_mounts()->set_destination("/data");
  EXPECT_THAT(refusal(other), HasSubstr("asks for /proc /etc/hosts /data"));
}

}  // namespace
}  // namespace kata::sandbox
