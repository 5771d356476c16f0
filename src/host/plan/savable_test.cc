// SPDX-License-Identifier: Apache-2.0
#include "host/plan/savable.h"

#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using testing::HasSubstr;

TEST(Savable, OneContainerOnADiskAloneIs) { EXPECT_TRUE(CheckSavable(SavableFacts())); }

TEST(Savable, WhatIsNotSavedIsNamedWithTheRemedy) {
  struct Case {
    std::function<void(SavableFacts&)> change;
    std::string reason;
    std::string remedy;
  };
  const Case cases[] = {
      {[](SavableFacts& f) { f.shares_files = true; }, "virtiofs", "shared_fs = \"none\""},
      {[](SavableFacts& f) { f.vsock = true; }, "vsock", "virtio-serial"},
      {[](SavableFacts& f) {
         f.root_on_disks = false;
         f.root = "a read-only disk";
       },
       "a read-only disk", "can be written"},
      {[](SavableFacts& f) { f.huge_or_preallocated = true; }, "huge", "enable_hugepages"},
      {[](SavableFacts& f) { f.volumes = {"/data", "/etc/hosts"}; }, "/data, /etc/hosts",
       "without"},
      {[](SavableFacts& f) { f.execs = {"e1"}; }, "e1", "end"},
      {[](SavableFacts& f) { f.containers = 2; }, "2 containers", "of its own"},
      {[](SavableFacts& f) { f.vmm_saves = false; }, "hypervisor", "snapshots.md"},
      {[](SavableFacts& f) { f.runs = false; }, "does not run", "start"},
  };
  for (const Case& each : cases) {
    SavableFacts facts;
    each.change(facts);
    const auto checked = CheckSavable(facts);
    ASSERT_FALSE(checked) << each.reason;
    EXPECT_EQ(checked.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(checked.error().message(), HasSubstr(each.reason));
    EXPECT_THAT(checked.error().message(), HasSubstr(each.remedy));
  }
}

}  // namespace
}  // namespace kata::sandbox
