// SPDX-License-Identifier: Apache-2.0
#include "oci/usable_capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::oci {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(UsableCapabilities, AreKept) {
  Process process;
  EXPECT_THAT(RemoveUnusableCapabilities(&process), IsEmpty());
  EXPECT_FALSE(process.has_capabilities());
  for (auto* names : {process.mutable_capabilities()->mutable_permitted(),
                      process.mutable_capabilities()->mutable_inheritable(),
                      process.mutable_capabilities()->mutable_ambient()}) {
    *names->Add() = "CAP_KILL";
  }
  EXPECT_THAT(RemoveUnusableCapabilities(&process), IsEmpty());
  EXPECT_THAT(process.capabilities().ambient(), ElementsAre("CAP_KILL"));
}

TEST(UsableCapabilities, LeaveOutUnknownNamesAndTellOfEachOnce) {
  Process process;
  process.mutable_capabilities()->add_bounding("CAP_FLY");
  process.mutable_capabilities()->add_bounding("CAP_KILL");
  process.mutable_capabilities()->add_effective("CAP_FLY");
  process.mutable_capabilities()->add_permitted("KILL");
  EXPECT_THAT(RemoveUnusableCapabilities(&process),
              ElementsAre("ignoring unknown or unavailable capabilities: [CAP_FLY KILL]"));
  EXPECT_THAT(process.capabilities().bounding(), ElementsAre("CAP_KILL"));
  EXPECT_THAT(process.capabilities().effective(), IsEmpty());
  EXPECT_THAT(process.capabilities().permitted(), IsEmpty());
}

TEST(UsableCapabilities, LeaveOutAmbientOnesThatNoKernelRaises) {
  Process process;
  LinuxCapabilities& sets = *process.mutable_capabilities();
  for (const char* name : {"CAP_KILL", "CAP_CHOWN", "CAP_FOWNER"}) sets.add_ambient(name);
  for (const char* name : {"CAP_KILL", "CAP_CHOWN"}) sets.add_permitted(name);
  for (const char* name : {"CAP_KILL", "CAP_FOWNER"}) sets.add_inheritable(name);
  EXPECT_THAT(
      RemoveUnusableCapabilities(&process),
      ElementsAre(
          "can't raise ambient capability CAP_CHOWN: it is not permitted and inheritable",
          "can't raise ambient capability CAP_FOWNER: it is not permitted and inheritable"));
  EXPECT_THAT(sets.ambient(), ElementsAre("CAP_KILL"));
}

}  // namespace
}  // namespace kata::oci
