// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/host_clock.h"

#include <time.h>

#include <chrono>
#include <limits>
#include <thread>

namespace kata::hypervisor {
namespace {

#if defined(__x86_64__)
struct Moment {
  uint64_t ticks = 0;
  std::chrono::nanoseconds time{0};
};

// Both clocks at one moment: of several readings that which was interrupted least.
Moment ReadBoth() {
  constexpr int kReadings = 32;
  Moment best;
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (int i = 0; i < kReadings; ++i) {
    timespec now{};
    const uint64_t before = __builtin_ia32_rdtsc();
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t width = __builtin_ia32_rdtsc() - before;
    if (width >= least) continue;
    least = width;
    best = {.ticks = before + width / 2,
            .time = std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec)};
  }
  return best;
}

uint32_t Measure() {
  constexpr std::chrono::milliseconds kLong{20};
  constexpr uint64_t kLeastKhz = 100'000;
  constexpr uint64_t kMostKhz = 20'000'000;
  constexpr uint64_t kPerMillisecond = 1'000'000;
  const Moment begin = ReadBoth();
  std::this_thread::sleep_for(kLong);
  const Moment end = ReadBoth();
  const auto time = static_cast<uint64_t>((end.time - begin.time).count());
  if (end.ticks <= begin.ticks || time < kPerMillisecond) return 0;
  // In double: the product does not fit where a host was suspended meanwhile.
  const double khz =
      static_cast<double>(end.ticks - begin.ticks) * kPerMillisecond / static_cast<double>(time);
  return khz < kLeastKhz || khz > kMostKhz ? 0 : static_cast<uint32_t>(khz);
}
#else
uint32_t Measure() { return 0; }
#endif

}  // namespace

uint32_t TscKhz() {
  static const uint32_t khz = Measure();
  return khz;
}

}  // namespace kata::hypervisor
