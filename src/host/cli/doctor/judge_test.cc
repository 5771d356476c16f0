// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/judge.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::cli::doctor {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Facts FastHost() {
  return {.accelerator = "kvm",
          .accelerator_reason = "KVM ran the probe's guest code in 0.2 ms",
          .kvm_device = true,
          .cpu_virtualization = true,
          .memory_available_mib = 16000,
          .machine_memory_mib = 2048,
          .virtiofsd_version = "1.13.0",
          .templates = 1,
          .template_path = "/var/lib/templates",
          .warm_service = true,
          .warm_ready = 2,
          .warm_wanted = 2};
}

Facts EmulatedHost() {
  Facts facts = FastHost();
  facts.accelerator = "tcg";
  facts.accelerator_reason = "no KVM: /dev/kvm does not exist";
  facts.kvm_device = false;
  facts.cpu_virtualization = false;
  return facts;
}

Trial GoodTrial() {
  Trial trial{.phases = {{"template", 8},
                         {"network", 3},
                         {"machine", 40},
                         {"container", 60},
                         {"start", 10},
                         {"exec", 15},
                         {"packets", 20},
                         {"files", 30},
                         {"processor", 500},
                         {"end", 200}},
              .began_from = "warm"};
  trial.figures = {.host_rounds = 1e9,
                   .guest_rounds = 0.97e9,
                   .packets_sent = 20,
                   .packets_received = 20,
                   .round_trip_us = 120,
                   .write_mib_per_second = 900,
                   .read_mib_per_second = 1200};
  return trial;
}

const Finding* Find(const std::vector<Finding>& findings, const std::string& name) {
  const auto it = std::find_if(findings.begin(), findings.end(),
                               [&](const Finding& finding) { return finding.name == name; });
  return it == findings.end() ? nullptr : &*it;
}

// The finding of that name; a failure of the test where there is none.
Finding Of(const Facts& facts, const Trial& trial, const std::string& name) {
  const std::vector<Finding> findings = Judge(facts, trial);
  const Finding* finding = Find(findings, name);
  EXPECT_NE(finding, nullptr) << name;
  return finding == nullptr ? Finding{} : *finding;
}

TEST(Judge, HasNothingToSayAgainstAHostWhereAllIsWell) {
  for (const Finding& finding : Judge(FastHost(), GoodTrial())) {
    EXPECT_EQ(finding.verdict, Verdict::kOk) << finding.name << ": " << finding.detail;
    EXPECT_THAT(finding.remedy, IsEmpty()) << finding.name;
  }
}

TEST(Judge, TellsWhatEmulationCostsByWhatWasMeasured) {
  Trial trial = GoodTrial();
  trial.figures.guest_rounds = 0.1e9;
  const Finding finding = Of(EmulatedHost(), trial, "processor");
  EXPECT_EQ(finding.verdict, Verdict::kNote);
  EXPECT_THAT(finding.detail, HasSubstr("1/10.0 of this host's speed"));
  EXPECT_THAT(finding.detail, HasSubstr("no KVM: /dev/kvm does not exist"));
  EXPECT_THAT(finding.detail, HasSubstr("about 10 times faster"));
}

TEST(Judge, SaysWhatToDoAboutKvmByWhatIsMissing) {
  struct Case {
    bool cpu;
    bool device;
    bool virtual_machine;
    const char* words;
  };
  for (const Case& each :
       {Case{true, false, false, "modprobe kvm_intel"}, Case{true, true, false, "dmesg"},
        Case{false, false, true, "nested virtualization"}, Case{false, false, true, "PVM"},
        Case{false, false, false, "firmware"}}) {
    Facts facts = EmulatedHost();
    facts.cpu_virtualization = each.cpu;
    facts.kvm_device = each.device;
    facts.is_virtual_machine = each.virtual_machine;
    EXPECT_THAT(Of(facts, GoodTrial(), "processor").remedy, HasSubstr(each.words));
  }
}

TEST(Judge, APhaseThatFailedIsAProblemWithItsRemedy) {
  Trial trial;
  trial.phases = {{"template", 10, "kata-runtime: no"},
                  {"network", 3},
                  {"create", 20, "virtiofsd \"/none\": No such file or directory"}};
  const std::vector<Finding> findings = Judge(FastHost(), trial);
  const Finding* create = Find(findings, "create");
  ASSERT_NE(create, nullptr);
  EXPECT_EQ(create->verdict, Verdict::kProblem);
  EXPECT_THAT(create->detail, HasSubstr("/none"));
  EXPECT_THAT(create->remedy, HasSubstr("install virtiofsd"));
  // Containers run without a template, too.
  ASSERT_NE(Find(findings, "template"), nullptr);
  EXPECT_EQ(Find(findings, "template")->verdict, Verdict::kNote);
}

TEST(Judge, SlowPhasesSayHowLongTheyShouldTake) {
  Trial trial = GoodTrial();
  for (Phase& phase : trial.phases) {
    if (phase.name == "exec") phase.millis = 1500;
    if (phase.name == "machine") phase.millis = 2500;
  }
  const Finding exec = Of(FastHost(), trial, "exec");
  EXPECT_EQ(exec.verdict, Verdict::kNote);
  EXPECT_THAT(exec.detail, HasSubstr("1.5 s; it should take less than 300 ms"));
  EXPECT_THAT(exec.remedy, Not(IsEmpty()));
  EXPECT_EQ(Of(FastHost(), trial, "machine").verdict, Verdict::kNote);
  // Emulated, that is as fast as it gets.
  EXPECT_EQ(Of(EmulatedHost(), trial, "exec").verdict, Verdict::kOk);
  // Nor is that slow for one that boots.
  trial.began_from = "boot";
  EXPECT_EQ(Of(FastHost(), trial, "machine").verdict, Verdict::kOk);
  EXPECT_THAT(Of(FastHost(), trial, "machine").detail, HasSubstr("ready in 2.5 s, booted"));
}

TEST(Judge, PacketsThatDoNotComeBackAreAProblem) {
  Trial trial = GoodTrial();
  trial.figures.packets_received = 0;
  const Finding finding = Of(FastHost(), trial, "packets");
  EXPECT_EQ(finding.verdict, Verdict::kProblem);
  EXPECT_THAT(finding.detail, HasSubstr("0 of 20 answered"));
  EXPECT_THAT(finding.remedy, HasSubstr("internetworking_model"));
  trial.figures.packets_received = 19;
  EXPECT_EQ(Of(FastHost(), trial, "packets").verdict, Verdict::kNote);
}

TEST(Judge, TellsHowTemplatesAre) {
  Trial trial = GoodTrial();
  trial.made_template = true;
  EXPECT_THAT(Of(FastHost(), trial, "template").detail, HasSubstr("made now, in 8.0 ms"));
  trial.began_from = "boot";
  EXPECT_THAT(Of(FastHost(), trial, "template").remedy, HasSubstr("/var/lib/templates"));
  Facts off = FastHost();
  off.enable_template = false;
  EXPECT_THAT(Of(off, GoodTrial(), "template").remedy, HasSubstr("enable_template = true"));
  Facts full = FastHost();
  full.template_failures = {"write: No space left on device"};
  EXPECT_THAT(Of(full, trial, "template").detail, HasSubstr("No space left"));
}

TEST(Judge, TellsHowWarmMachinesAre) {
  Facts facts = FastHost();
  facts.warm_ready = 0;
  EXPECT_EQ(Of(facts, GoodTrial(), "warm machines").verdict, Verdict::kOk);  // this one was it
  Trial trial = GoodTrial();
  trial.began_from = "template";
  EXPECT_EQ(Of(facts, trial, "warm machines").verdict, Verdict::kNote);
  facts.warm_service = false;
  EXPECT_THAT(Of(facts, trial, "warm machines").remedy, HasSubstr("systemctl enable"));
}

TEST(Judge, MemoryForLessThanTwoMachinesIsShort) {
  Facts facts = FastHost();
  facts.memory_available_mib = 3000;
  const Finding finding = Of(facts, GoodTrial(), "room");
  EXPECT_EQ(finding.verdict, Verdict::kNote);
  EXPECT_THAT(finding.detail, HasSubstr("1 machine of 2048 MiB"));
}

TEST(Judge, TheVirtiofsdInCIsNoted) {
  Facts facts = FastHost();
  facts.virtiofsd_in_c = true;
  EXPECT_EQ(Of(facts, GoodTrial(), "virtiofsd").verdict, Verdict::kNote);
  EXPECT_EQ(Find(Judge(FastHost(), GoodTrial()), "virtiofsd"), nullptr);
  facts.shares_files = false;
  EXPECT_EQ(Find(Judge(facts, GoodTrial()), "virtiofsd"), nullptr);
}

TEST(Judge, FrontEndsThatDoNotKnowUsAreToldHow) {
  Facts facts = FastHost();
  facts.front_ends = {
      {.name = "docker", .path = "/usr/bin/dockerd", .file = "/etc/docker/daemon.json"},
      {.name = "containerd",
       .path = "/usr/bin/containerd",
       .configured = true,
       .file = "/etc/containerd/config.toml"}};
  EXPECT_EQ(Of(facts, GoodTrial(), "docker").remedy, "kata-runtime setup docker");
  EXPECT_THAT(Of(facts, GoodTrial(), "containerd").detail, HasSubstr("knows this runtime"));
  // Who starts containers by ctr has nothing to set up.
  facts.front_ends[1].configured = false;
  EXPECT_EQ(Of(facts, GoodTrial(), "containerd").verdict, Verdict::kOk);
  EXPECT_THAT(Of(facts, GoodTrial(), "containerd").detail, HasSubstr("setup containerd"));
  EXPECT_THAT(Of(FastHost(), GoodTrial(), "front ends").detail, HasSubstr("no Docker"));
}

TEST(Judge, WhatIsLeftBehindIsTold) {
  Trial trial = GoodTrial();
  trial.left = {"container x: busy; remove it with ..."};
  EXPECT_THAT(Of(FastHost(), trial, "left behind").detail, HasSubstr("container x"));
}

TEST(Remedy, IsThereForWhatPeopleMeetFirst) {
  EXPECT_THAT(RemedyOf("did not end within 300 s"), HasSubstr("--timeout"));
  EXPECT_THAT(RemedyOf("write \"/run/x\": No space left on device"), HasSubstr("/run"));
  EXPECT_THAT(RemedyOf("kernel \"/x\": is no ELF file"), HasSubstr("guest files"));
  EXPECT_EQ(RemedyOf("the moon is full"), "");
}

TEST(Duration, HasTheUnitThatPeopleSay) {
  EXPECT_EQ(Duration(0.82), "0.8 ms");
  EXPECT_EQ(Duration(340.4), "340 ms");
  EXPECT_EQ(Duration(12340), "12.3 s");
}

}  // namespace
}  // namespace kata::cli::doctor
