// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/plugged.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "guest/agent/hotplug.h"

namespace kata::guest {
namespace {

// The host's own patience for a call is a minute.
constexpr std::chrono::seconds kLongest{50};
constexpr std::chrono::milliseconds kFirstPause{10};
constexpr std::chrono::milliseconds kLongestPause{160};

}  // namespace

struct PluggedWatch::Waiting {
  Plugged wanted;
  std::chrono::milliseconds patience{0};
  Done done;
  Plugged seen;
  size_t blocks = 0;     // that are there
  size_t blocks_on = 0;  // the first so many of them
  std::chrono::milliseconds pause = kFirstPause;
  bool complained = false;
  Deadline idle = Deadline::Never();
  Deadline end = Deadline::Never();
};

PluggedWatch::PluggedWatch(sys::EventLoop& loop, std::string root)
    : loop_(loop), root_(std::move(root)), first_blocks_(MemoryBlocks(root_).size()) {}

void PluggedWatch::Await(Plugged wanted, std::chrono::milliseconds patience, Done done) {
  Check({.wanted = wanted,
         .patience = patience,
         .done = std::move(done),
         .seen = {},
         .blocks_on = first_blocks_,
         .idle = Deadline::After(patience),
         .end = Deadline::After(kLongest)});
}

uint64_t PluggedWatch::BytesOn(Waiting& waiting) {
  if (waiting.wanted.bytes == 0) return 0;
  const std::vector<uint32_t> blocks = MemoryBlocks(root_);
  if (blocks.size() > waiting.blocks) waiting.idle = Deadline::After(waiting.patience);
  waiting.blocks = blocks.size();
  // In the order of addresses, which is that in which memory is plugged and switched on.
  while (waiting.blocks_on < blocks.size() && MemoryBlockIsOn(root_, blocks[waiting.blocks_on])) {
    ++waiting.blocks_on;
  }
  const size_t on = std::min(waiting.blocks_on, blocks.size());
  return (on - std::min(on, first_blocks_)) * MemoryBlockSize(root_);
}

void PluggedWatch::Check(Waiting waiting) {
  if (const auto on = OnlineCpus(root_); !on && !std::exchange(waiting.complained, true)) {
    log::Warn("a processor cannot be switched on", {{"error", on.error().message()}});
  }
  const Plugged now{.cpus = CountOnlineCpus(root_).value_or(0), .bytes = BytesOn(waiting)};
  if (now != std::exchange(waiting.seen, now)) waiting.idle = Deadline::After(waiting.patience);
  const bool there = now.cpus >= waiting.wanted.cpus && now.bytes >= waiting.wanted.bytes;
  if (there || waiting.idle.Passed() || waiting.end.Passed()) return waiting.done(now);
  const auto pause = waiting.pause;
  waiting.pause = std::min(waiting.pause * 2, kLongestPause);
  loop_.RunAfter(pause,
                 [this, waiting = std::move(waiting)]() mutable { Check(std::move(waiting)); });
}

}  // namespace kata::guest
