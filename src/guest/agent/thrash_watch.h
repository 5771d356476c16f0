// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/thrash_watch.h - ends the containers that stand still at their memory limit.
//
// A container that is stuck (thrash.h) gets what the kernel keeps from it: for a moment its limit
// is set below what it cannot give back. The kernel then kills whom it always would, by size and
// oom_score_adj, and counts it as any other kill for want of memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/container/container.h"
#include "guest/agent/thrash.h"
#include "sys/event_loop.h"

namespace kata::guest {

class ThrashWatch {
 public:
  explicit ThrashWatch(sys::EventLoop& loop) : loop_(loop) {}
  ThrashWatch(const ThrashWatch&) = delete;
  ThrashWatch& operator=(const ThrashWatch&) = delete;

  // `container` must live until Remove.
  void Add(const std::string& id, const Container& container);
  void Remove(const std::string& id);
  // Its memory.events may have changed: while its limit is hit, it is looked at several times a
  // second. Cheap where nothing has happened.
  void Notice(const std::string& id);

 private:
  struct Watched;
  struct Ending;

  void Sample(const std::shared_ptr<Watched>& watched);
  // The kernel's turn.
  void End(const std::shared_ptr<Watched>& watched, const MemorySample& sample);
  void AwaitEnd(const std::shared_ptr<Ending>& ending);
  void Rest(const std::shared_ptr<Watched>& watched);

  sys::EventLoop& loop_;
  std::map<std::string, std::shared_ptr<Watched>> watched_;
};

// The anonymous memory of the biggest of these processes, in bytes, as `proc` (/proc) tells.
uint64_t BiggestOf(const std::vector<pid_t>& pids, const std::string& proc);

}  // namespace kata::guest
