// SPDX-License-Identifier: Apache-2.0
#include "routes/listener_messages.h"

#include <cstdint>
#include <string>

namespace kata::routes {

std::vector<sys::SocketAddress> ReadListeners(const guest::Listeners& listeners) {
  constexpr int kMost = 1024;
  std::vector<sys::SocketAddress> all;
  for (const guest::Listener& each : listeners.listeners()) {
    const auto address = sys::IpAddress::FromBytes(each.address());
    if (!address || each.port() == 0 || each.port() > UINT16_MAX || all.size() == kMost) continue;
    all.push_back({.address = *address, .port = static_cast<uint16_t>(each.port())});
  }
  return all;
}

guest::Listeners WriteListeners(const std::vector<sys::SocketAddress>& listeners) {
  guest::Listeners message;
  for (const sys::SocketAddress& each : listeners) {
    guest::Listener& listener = *message.add_listeners();
    listener.set_address(std::string(each.address.Bytes()));
    listener.set_port(each.port);
  }
  return message;
}

}  // namespace kata::routes
