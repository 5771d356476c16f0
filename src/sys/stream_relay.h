// SPDX-License-Identifier: Apache-2.0
//
// sys/stream_relay.h - two stream sockets, each of which gets what the other one says.
//
// What one side closes for writing is closed for writing at the other; a side that breaks off
// breaks the other off. A side that does not read holds the other one back; 64 KiB wait here at
// most for each. Lives on the event loop's thread.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>

#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::sys {

class StreamRelay {
 public:
  // Non-blocking, connected sockets.
  StreamRelay(EventLoop& loop, UniqueFd one, UniqueFd other);
  StreamRelay(const StreamRelay&) = delete;
  StreamRelay& operator=(const StreamRelay&) = delete;
  ~StreamRelay();

  // `done` is called once, when there is no more to relay, and may destroy the relay.
  void Start(std::function<void()> done);

 private:
  struct Side {
    UniqueFd fd;
    std::string waiting;  // that was read here, from `sent` on not written to the other side yet
    size_t sent = 0;
    bool ended = false;   // it says no more
    bool closed = false;  // it was told that the other one says no more
    uint32_t watched = 0;
  };

  void OnReady(size_t side, uint32_t events);
  // False when the connection is broken.
  bool Read(Side& from);
  bool Write(Side& from, Side& to);
  bool Move(Side& from, Side& to);
  void Watch(size_t side);
  void Break();

  EventLoop& loop_;
  std::array<Side, 2> sides_;
  std::function<void()> done_;
};

}  // namespace kata::sys
