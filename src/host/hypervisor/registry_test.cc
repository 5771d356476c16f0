// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::hypervisor {
namespace {

using ::testing::HasSubstr;

TEST(Registry, TheEmptyNameIsTheDefault) {
  const auto found = FindVmm("");
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ((*found)->traits.name, kDefaultVmm.name);
  EXPECT_EQ(*found, *FindVmm("qemu"));
}

TEST(Registry, KnowsEachVmmThatHasTraits) {
  for (const VmmTraits& traits : kVmms) {
    const auto found = FindVmm(traits.name);
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_EQ((*found)->traits.program, traits.program);
  }
}

TEST(Registry, AnUnknownNameIsAnErrorThatNamesTheKnown) {
  const auto found = FindVmm("vmware");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kNotFound);
  EXPECT_THAT(found.error().message(), HasSubstr("no VMM \"vmware\": there is qemu"));
}

TEST(Registry, ATestAddsItsOwn) {
  const auto first = FindVmm("");
  AddVmm({.traits = {.name = "fake", .title = "a fake"}});
  AddVmm({.traits = {.name = "fake", .title = "another"}});
  EXPECT_EQ((*FindVmm("fake"))->traits.title, "another");
  EXPECT_EQ(*FindVmm(""), *first);
}

TEST(CheckVersion, RefusesWhatIsOlderThanTheOldestThatWorks) {
  const VmmTraits vmm{.title = "Vmm", .oldest = {.major = 7, .minor = 2}};
  EXPECT_TRUE(CheckVersion(vmm, {7, 2, 0}));
  EXPECT_TRUE(CheckVersion(vmm, {10, 0, 0}));
  EXPECT_EQ(CheckVersion(vmm, {7, 1, 9}).error().message(),
            "Vmm 7.1 is too old: 7.2 or later is needed");
  EXPECT_FALSE(CheckVersion(vmm, {6, 9, 0}));
}

}  // namespace
}  // namespace kata::hypervisor
