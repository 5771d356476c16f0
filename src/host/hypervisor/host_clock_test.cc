// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/host_clock.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace kata::hypervisor {
namespace {

TEST(TscKhz, IsTheRateOfTheCounter) {
#if defined(__x86_64__)
  const uint32_t khz = TscKhz();
  ASSERT_GT(khz, 0u);
  EXPECT_EQ(TscKhz(), khz);
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t ticks = __builtin_ia32_rdtsc();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const double passed = static_cast<double>(__builtin_ia32_rdtsc() - ticks) / khz;
  const std::chrono::duration<double, std::milli> wanted = std::chrono::steady_clock::now() - begin;
  // A busy host may come between the readings here.
  EXPECT_NEAR(passed, wanted.count(), wanted.count() / 4);
#else
  EXPECT_EQ(TscKhz(), 0u);
#endif
}

}  // namespace
}  // namespace kata::hypervisor
