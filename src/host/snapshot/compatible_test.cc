// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/compatible.h"

#include <sys/stat.h>

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/hypervisor/testing/test_guest.h"
#include "sys/files.h"

namespace kata::snapshot {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Manifest Saved() {
  Manifest manifest;
  manifest.id = "saved";
  manifest.origin = {.vmm = "qemu",
                     .vmm_version = "7.2.22",
                     .machine = "-machine\nq35\n-cpu\nmax",
                     .processor = "cpu 1",
                     .host_kernel = "kernel 6.1",
                     .guest_kernel = "/vmlinux",
                     .guest_initrd = "/initrd",
                     .build = "1"};
  return manifest;
}

std::string Refusal(const Manifest& saved, const Origin& here) {
  const auto checked = CheckCompatible(saved, here);
  if (checked) return "none";
  EXPECT_EQ(checked.error().code(), Code::kFailedPrecondition);
  return checked.error().message();
}

TEST(Compatible, WhatAGuestDoesNotSeeMayDiffer) {
  Origin here = Saved().origin;
  here.vmm_version = "7.2.9";
  here.host_kernel = "kernel 6.12";
  here.processor = "cpu 2";
  here.guest_kernel = "/other";
  here.guest_initrd = "/other";
  here.build = "2";
  EXPECT_EQ(Refusal(Saved(), here), "none");
}

TEST(Compatible, EachDifferenceIsNamedAndWhatToDo) {
  Origin here = Saved().origin;
  here.vmm_version = "7.20.1";
  here.machine = "-machine\nq35\n-cpu\nhost\n-more";
  EXPECT_THAT(Refusal(Saved(), here),
              AllOf(HasSubstr("snapshot \"saved\""), HasSubstr("saved by qemu 7.2.22"),
                    HasSubstr("here is qemu 7.20.1"), HasSubstr("had \"max\""),
                    HasSubstr("has \"host\""), HasSubstr("has \"-more\""),
                    HasSubstr("restore it where it was made"), Not(HasSubstr("processor"))));
  here.vmm = "other";
  EXPECT_THAT(Refusal(Saved(), here), HasSubstr("here is other"));
}

TEST(Compatible, AMachineUnderKvmNeedsItsProcessor) {
  Manifest saved = Saved();
  saved.machine.accelerator = hypervisor::AcceleratorKind::kKvm;
  Origin here = saved.origin;
  EXPECT_EQ(Refusal(saved, here), "none");
  here.processor = "cpu 2";
  EXPECT_THAT(Refusal(saved, here), HasSubstr("another processor"));
}

class OriginOfHere : public ::testing::Test {
 protected:
  OriginOfHere() {
    config_.hypervisor.path = folder_ / "qemu";
    EXPECT_TRUE(sys::WriteFile(config_.hypervisor.path,
                               "#!/bin/sh\necho QEMU emulator version 7.2.22 '(Debian)'\n"));
    EXPECT_EQ(::chmod(config_.hypervisor.path.c_str(), 0700), 0);
    config_.hypervisor.kernel = "/vmlinux";
    config_.hypervisor.initrd = "/initrd";
    machine_.boot_mib = 256;
    machine_.boot_vcpus = machine_.vcpus = machine_.max_vcpus = 1;
  }
  Result<Origin> Here() {
    return OriginHere(config_, **hypervisor::FindVmm("qemu"), machine_,
                      Deadline::After(std::chrono::seconds(30)));
  }

  hypervisor::testing::TempDir folder_;
  config::Config config_;
  hypervisor::MachineShape machine_;
};

TEST_F(OriginOfHere, GoesOnWithItself) {
  const auto here = Here();
  ASSERT_TRUE(here) << here.error().message();
  EXPECT_EQ(here->vmm, "qemu");
  EXPECT_EQ(here->vmm_version, "7.2.22");
  EXPECT_EQ(here->guest_kernel, "/vmlinux");
  Manifest saved;
  saved.id = "saved";
  saved.machine = machine_;
  saved.origin = *here;
  EXPECT_TRUE(CheckCompatible(saved, *Here()));
  config_.hypervisor.cpu_features = "pmu=off";
  EXPECT_THAT(Refusal(saved, *Here()), HasSubstr("pmu=off"));
}

TEST_F(OriginOfHere, TellsOfAVmmThatDoesNotRun) {
  config_.hypervisor.path = folder_ / "none";
  EXPECT_FALSE(Here());
}

}  // namespace
}  // namespace kata::snapshot
