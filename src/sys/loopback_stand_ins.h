// SPDX-License-Identifier: Apache-2.0
//
// sys/loopback_stand_ins.h - how a host and its guest name each other's listeners between the two.
//
// A packet with an address of a loopback goes nowhere, and one with an address that both have does
// not leave. So each of the two has an address that nobody else has (RFC 7335), and a port of it
// for every listener of its own that the other one cannot reach otherwise.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "sys/listeners.h"

namespace kata::sys {

inline constexpr const char* kHostLoopback = "192.0.0.7";
inline constexpr const char* kGuestLoopback = "192.0.0.6";

// A listener and the port of the stand-in that leads to it; 0: none does.
struct ReachedListener {
  Listener listener;
  uint16_t through = 0;

  friend auto operator<=>(const ReachedListener&, const ReachedListener&) = default;
};

class StandInPorts {
 public:
  using Port = std::pair<Protocol, uint16_t>;

  // A port for each, its own where that is neither another one's nor `taken`, else one that few
  // programs want; what has one keeps it. Those of others are free again. Who finds none is left
  // out.
  std::vector<ReachedListener> Assign(const std::vector<Listener>& listeners,
                                      const std::set<Port>& taken = {});
  // Whose it is.
  std::optional<Listener> Behind(Protocol protocol, uint16_t port) const;

 private:
  std::map<Port, Listener> ports_;
};

}  // namespace kata::sys
