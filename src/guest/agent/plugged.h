// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/plugged.h - waiting for processors and memory that the VMM has added.
//
// The VMM is told that it may add them before the guest's kernel knows: a processor takes a moment,
// twenty GiB of memory take seconds where the guest is emulated.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "base/deadline.h"
#include "sys/event_loop.h"

namespace kata::guest {

struct Plugged {
  uint32_t cpus = 0;   // in all
  uint64_t bytes = 0;  // of memory, beyond what the guest began with

  friend bool operator==(const Plugged&, const Plugged&) = default;
};

class PluggedWatch {
 public:
  using Done = std::move_only_function<void(Plugged)>;

  // What is there now is what the guest began with. `root` as in hotplug.h.
  PluggedWatch(sys::EventLoop& loop, std::string root);

  // Switches on what is off until there is `wanted`, or until nothing has come for `patience`, 50 s
  // in all; `done` gets what is on then. Several may wait at a time.
  void Await(Plugged wanted, std::chrono::milliseconds patience, Done done);

 private:
  struct Waiting;

  // Of `wanted.bytes`; looks no further than the first block that is off.
  uint64_t BytesOn(Waiting& waiting);
  void Check(Waiting waiting);

  sys::EventLoop& loop_;
  const std::string root_;
  const size_t first_blocks_;
};

}  // namespace kata::guest
