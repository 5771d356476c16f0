// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/oom_watch.h - telling the host that a container ran out of memory.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/container/container.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::guest {

// Watches "oom_kill" in memory.events of every container. An event is given to everybody who waits
// for one; without anybody it is kept for the next who asks, up to 64 of them.
// Basis: kernel Documentation/admin-guide/cgroup-v2.rst, memory.events; inotify(7).
class OomWatch {
 public:
  using Listener = std::move_only_function<void(Result<std::string> container_id)>;
  using Wanted = std::function<bool()>;

  // `changed` is called for every container after something has happened to one of them.
  using Changed = std::function<void(const std::string& container_id)>;

  OomWatch(sys::EventLoop& loop, Changed changed);
  OomWatch(const OomWatch&) = delete;
  OomWatch& operator=(const OomWatch&) = delete;
  ~OomWatch();

  // Watches `container`, which must live until Remove.
  Result<void> Add(const std::string& id, const Container& container);
  void Remove(const std::string& id);
  // Looks now, so that an event does not come after news of the exit that it caused.
  void Check(const std::string& id);

  // Calls `listener` once with the next event; not if by then it is no longer wanted. Of more than
  // 16 listeners the oldest are told kAborted.
  void Next(Wanted wanted, Listener listener);

 private:
  struct Watched {
    const Container* container;
    int descriptor;
    uint64_t kills;
  };

  struct Waiting {
    Wanted wanted;
    Listener listener;
  };

  void OnEvents();
  void Announce(const std::string& id);

  sys::EventLoop& loop_;
  const Changed changed_;
  sys::UniqueFd inotify_;
  std::map<std::string, Watched> watched_;
  std::deque<std::string> events_;
  std::deque<Waiting> listeners_;
};

}  // namespace kata::guest
