// SPDX-License-Identifier: Apache-2.0
#include "sys/loopback_stand_ins.h"

#include <algorithm>

namespace kata::sys {

std::vector<ReachedListener> StandInPorts::Assign(const std::vector<Listener>& listeners,
                                                  const std::set<Port>& taken) {
  std::map<Listener, Port> before;
  for (const auto& [port, listener] : ports_) before.emplace(listener, port);
  ports_.clear();
  std::vector<ReachedListener> reached;
  const auto take = [&](const Port& port, const Listener& listener) {
    if (taken.contains(port) || !ports_.emplace(port, listener).second) return false;
    reached.push_back({.listener = listener, .through = port.second});
    return true;
  };
  std::vector<Listener> fresh;
  for (const Listener& each : listeners) {
    const auto found = before.find(each);
    if (found == before.end() || !take(found->second, each)) fresh.push_back(each);
  }
  for (const Listener& each : fresh) {
    if (take({each.protocol, each.at.port}, each)) continue;
    for (uint16_t port = UINT16_MAX; port != 0 && !take({each.protocol, port}, each);) --port;
  }
  std::ranges::sort(reached);
  return reached;
}

std::optional<Listener> StandInPorts::Behind(Protocol protocol, uint16_t port) const {
  const auto found = ports_.find({protocol, port});
  if (found == ports_.end()) return std::nullopt;
  return found->second;
}

}  // namespace kata::sys
