// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/accelerator.h"

#include <stdlib.h>

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/hypervisor/kvm_probe.h"
#include "sys/files.h"

namespace kata::hypervisor {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

TEST(ProbeAccelerator, DecidesInTimeAndSaysWhy) {
  const auto begin = steady_clock::now();
  const AcceleratorChoice choice = ProbeAccelerator();
  const auto spent = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
  // Twice the limit leaves room for a loaded machine's scheduler.
  EXPECT_LT(spent, 2 * kProbeLimit);
  EXPECT_FALSE(choice.reason.empty());
  std::printf("%s: %s (%lld ms)\n", std::string(choice.name()).c_str(), choice.reason.c_str(),
              static_cast<long long>(spent.count()));
}

TEST(RunKvmProbe, EndsAtItsLimitWhateverTheGuestDoes) {
  if (!sys::Open("/dev/kvm", O_RDWR)) GTEST_SKIP() << "no /dev/kvm here";
  // Far more than any processor does in that time.
  const auto begin = steady_clock::now();
  const KvmProbeResult result = RunKvmProbe(0xffffffff, false, milliseconds(30));
  EXPECT_EQ(result.outcome, KvmProbeResult::Outcome::kTimedOut) << result.detail;
  EXPECT_LT(steady_clock::now() - begin, milliseconds(500));
}

TEST(RunKvmProbe, ShortCodeReachesItsEnd) {
  if (!sys::Open("/dev/kvm", O_RDWR)) GTEST_SKIP() << "no /dev/kvm here";
  const KvmProbeResult result = RunKvmProbe(10, false, milliseconds(1000));
  EXPECT_EQ(result.outcome, KvmProbeResult::Outcome::kRan) << result.detail;
}

TEST(ChooseAccelerator, TakesWhatIsConfigured) {
  EXPECT_EQ(ChooseAccelerator("tcg", "")->kind, AcceleratorKind::kTcg);
  EXPECT_EQ(ChooseAccelerator("xen", "").error().code(), Code::kInvalidArgument);
  if (sys::Open("/dev/kvm", O_RDWR)) {
    EXPECT_EQ(ChooseAccelerator("kvm", "")->kind, AcceleratorKind::kKvm);
  } else {
    EXPECT_FALSE(ChooseAccelerator("kvm", ""));
  }
}

TEST(ChooseAccelerator, KeepsItsAnswerForThisBoot) {
  char name[] = "/tmp/kata-accelerator-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string cache = std::string(name) + "/new/accelerator.json";
  const auto first = ChooseAccelerator("auto", cache);
  ASSERT_TRUE(first);
  std::string text = *sys::ReadFile(cache);
  EXPECT_THAT(text, HasSubstr("\"boot_id\""));
  const std::string marked = text.replace(text.find("\"reason\":\"") + 10, 0, "kept: ");
  ASSERT_TRUE(sys::WriteFile(cache, marked));
  EXPECT_EQ(ChooseAccelerator("auto", cache)->reason, "kept: " + first->reason);

  // Another boot, or a damaged file: probed again.
  for (const char* content : {"", "{", "[]", R"({"boot_id":"x","kind":"kvm","reason":"old"})",
                              R"({"boot_id":5,"kind":[]})"}) {
    ASSERT_TRUE(sys::WriteFile(cache, content));
    EXPECT_EQ(ChooseAccelerator("auto", cache)->kind, first->kind) << content;
  }
  EXPECT_TRUE(sys::RemoveTree(name));
}

}  // namespace
}  // namespace kata::hypervisor
