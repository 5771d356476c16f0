// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/thrash.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "guest/agent/cgroup/cgroup_stats.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMaxGroupFile = 1 << 16;
constexpr uint64_t kPage = 4096;
// Below this a cache is as good as none: the kernel's counters lag by some pages.
constexpr uint64_t kLeastCache = 64 << 10;
// Looks without a hit after which the limit counts as left.
constexpr int kCalmSamples = 4;

std::string ReadGroupFile(const std::string& cgroup, std::string_view file) {
  return sys::ReadFile(cgroup + "/" + std::string(file), kMaxGroupFile).value_or("");
}

uint64_t Less(uint64_t value, uint64_t by) { return value - std::min(value, by); }

bool HasSmallCache(const MemorySample& sample) {
  return sample.limit &&
         sample.cache <=
             std::max(std::min(ThrashJudge::kSmallCache, *sample.limit / 16), kLeastCache);
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345", of memory.pressure.
uint64_t StallTime(std::string_view pressure) {
  constexpr std::string_view kTotal = "total=";
  uint64_t time = 0;
  const size_t at = pressure.find(kTotal);
  if (!pressure.starts_with("some") || at == std::string_view::npos) return 0;
  const std::string_view number = pressure.substr(at + kTotal.size());
  std::from_chars(number.data(), number.data() + number.size(), time);
  return time;
}

}  // namespace

Result<MemorySample> SampleMemory(const std::string& cgroup) {
  const std::string stat = KATA_TRY(sys::ReadFile(cgroup + "/memory.stat", kMaxGroupFile));
  const std::string events = ReadGroupFile(cgroup, "memory.events");
  MemorySample sample{.at = steady_clock::now()};
  const std::string limit = ReadGroupFile(cgroup, "memory.max");
  uint64_t bytes = 0;
  if (std::from_chars(limit.data(), limit.data() + limit.size(), bytes).ec == std::errc()) {
    sample.limit = bytes;
  }
  sample.cache = FlatValue(stat, "active_file") + FlatValue(stat, "inactive_file");
  sample.fixed = FlatValue(stat, "anon") + FlatValue(stat, "shmem") +
                 Less(FlatValue(stat, "kernel"), FlatValue(stat, "slab_reclaimable"));
  sample.limit_hits = FlatValue(events, "max");
  sample.refaults = FlatValue(stat, "workingset_refault_file");
  sample.major_faults = FlatValue(stat, "pgmajfault");
  sample.oom_kills = FlatValue(events, "oom_kill");
  const std::string cpu = ReadGroupFile(cgroup, "cpu.stat");
  sample.user_time = FlatValue(cpu, "user_usec");
  sample.system_time = FlatValue(cpu, "system_usec");
  sample.waiting_time =
      StallTime(ReadGroupFile(cgroup, "memory.pressure")) + FlatValue(cpu, "throttled_usec");
  return sample;
}

uint64_t CountLimitHits(const std::string& cgroup) {
  return FlatValue(ReadGroupFile(cgroup, "memory.events"), "max");
}

ThrashJudge::Verdict ThrashJudge::Observe(const MemorySample& now) {
  const bool hit = now.limit_hits > std::exchange(hits_, now.limit_hits);
  calm_samples_ = hit || first_ ? 0 : calm_samples_ + 1;
  if (!std::exchange(first_, false) && !hit) samples_.clear();
  if (calm_samples_ >= kCalmSamples) return Verdict::kCalm;
  if (!HasSmallCache(now)) {
    samples_.clear();
    return Verdict::kBusy;
  }
  samples_.push_back(now);
  // What lies further back than needed is of no interest.
  while (samples_.size() > 2 && now.at - samples_[1].at >= kStuckTime) samples_.pop_front();
  return IsStuck() ? Verdict::kStuck : Verdict::kBusy;
}

bool ThrashJudge::IsStuck() const {
  const MemorySample& before = samples_.front();
  const MemorySample& now = samples_.back();
  const auto time = now.at - before.at;
  if (time < kStuckTime) return false;
  uint64_t cache = kLeastCache;
  for (const MemorySample& sample : samples_) cache = std::max(cache, sample.cache);
  const uint64_t windows = std::max<uint64_t>(1, cache / kWindow);
  const uint64_t user = Less(now.user_time, before.user_time);
  const uint64_t system = Less(now.system_time, before.system_time);
  const uint64_t waiting = Less(now.waiting_time, before.waiting_time);
  const auto micros =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
  return Less(now.refaults, before.refaults) * kPage >= kTurnover * cache &&
         Less(now.major_faults, before.major_faults) >= kTurnover * windows &&
         system >= kOverhead * user && (user + system + waiting) * 100 >= micros * kBusyPercent;
}

uint64_t LimitThatKills(const MemorySample& sample, uint64_t biggest) {
  const uint64_t below = std::max(biggest / 2, kLeastCache);
  return Less(sample.fixed, below) / kPage * kPage;
}

}  // namespace kata::guest
