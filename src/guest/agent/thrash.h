// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/thrash.h - telling a container that is out of memory from one that is busy at its
// limit.
//
// Where a container's memory reaches its limit, the kernel first takes back what can be read again:
// its programs' own text. A program that goes on asking ends up with room for less text than one of
// its instructions needs: each fault reads a window of the file and throws out the other one. The
// kernel always finds something to take back, so it kills nobody, for minutes, while the program
// stands still and the host answers thousands of reads. Reading files at the limit looks the same
// to a limit's counters but for this: what is cached is large, or what is read is new, or it is
// read by read(2) and not by faults.
//
// Deciding only, but for SampleMemory. Basis: kernel Documentation/admin-guide/cgroup-v2.rst.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/result.h"

namespace kata::guest {

// What a control group says of its memory at one moment. Sizes in bytes, times in microseconds; the
// last ones are counted since it was made.
struct MemorySample {
  std::chrono::steady_clock::time_point at;
  std::optional<uint64_t> limit;  // none: "max"
  uint64_t cache = 0;             // of files, what can be taken back
  uint64_t fixed = 0;  // what cannot, without swap: anonymous and shared memory, the kernel's
  uint64_t limit_hits = 0;
  uint64_t refaults = 0;  // pages of files that were taken back and read again
  uint64_t major_faults = 0;
  uint64_t oom_kills = 0;
  uint64_t user_time = 0;     // of processors
  uint64_t system_time = 0;   // of processors
  uint64_t waiting_time = 0;  // when some process waited for memory, or all for their quota
};

// Of the group whose directory is `cgroup`. A figure that a kernel does not have is 0.
// Errors  kNotFound  there is no such group
Result<MemorySample> SampleMemory(const std::string& cgroup);
// Its limit_hits alone, 0 where it cannot be read.
uint64_t CountLimitHits(const std::string& cgroup);

class ThrashJudge {
 public:
  enum class Verdict {
    kCalm,   // the limit is not being hit
    kBusy,   // it is; sample again
    kStuck,  // by the measures below
  };

  // A container is stuck when for so long
  static constexpr std::chrono::milliseconds kStuckTime{1500};
  // its limit was hit between each two samples, and what it had cached of files was at each at most
  // this, four windows that a fault reads, and at most a 16th of the limit;
  static constexpr uint64_t kWindow = 128 << 10;
  static constexpr uint64_t kSmallCache = 4 * kWindow;
  // when it has read all of that cache again so often meanwhile, by faults: as many of them as
  // there are windows in it, that often;
  static constexpr uint64_t kTurnover = 8;
  // when of its processor time so many parts belong to the kernel for one of its own,
  static constexpr uint64_t kOverhead = 9;
  // and it was not idle: of the time, it ran or waited for at least so many hundredths.
  static constexpr uint64_t kBusyPercent = 40;

  Verdict Observe(const MemorySample& now);

 private:
  bool IsStuck() const;

  std::deque<MemorySample> samples_;  // with a small cache and hits between each two
  int calm_samples_ = 0;
  uint64_t hits_ = 0;  // at the last sample
  bool first_ = true;
};

// The limit under which the kernel can no longer help itself by taking text back, so that it kills:
// below what `sample` says is fixed, by less than the biggest process has (`biggest` bytes), so
// that its end is enough.
uint64_t LimitThatKills(const MemorySample& sample, uint64_t biggest);

}  // namespace kata::guest
