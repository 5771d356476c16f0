// SPDX-License-Identifier: Apache-2.0
#include "host/network/service_view.h"

#include <algorithm>

#include "host/network/two_namespaces.h"

namespace kata::network {
std::vector<sys::SocketAddress> DoorsFor(std::vector<sys::SocketAddress> listeners) {
  const size_t count = listeners.size();
  for (size_t i = 0; i < count; ++i) {
    if (listeners[i].address.family != AF_INET6 || !listeners[i].address.IsAny()) continue;
    listeners.push_back({.address = {}, .port = listeners[i].port});
  }
  std::ranges::sort(listeners);
  listeners.erase(std::ranges::unique(listeners).begin(), listeners.end());
  return listeners;
}

std::vector<sys::SocketAddress> ServicesOf(const std::vector<sys::SocketAddress>& listeners) {
  std::vector<sys::SocketAddress> services;
  std::ranges::copy_if(listeners, std::back_inserter(services), [](const sys::SocketAddress& each) {
    return each.address.IsAny() || each.address.IsLoopback();
  });
  return services;
}

sys::SocketAddress LoopbackOf(const std::vector<sys::SocketAddress>& services, uint16_t port) {
  const sys::SocketAddress usual{.address = *sys::IpAddress::Parse("127.0.0.1"), .port = port};
  sys::SocketAddress other = usual;
  for (const sys::SocketAddress& each : services) {
    if (each.port != port) continue;
    if (each.address.IsAny() || each == usual) return usual;
    // IPv4 comes first.
    if (other == usual) other = each;
  }
  return other;
}

GuestEnds EndsInGuest(const sys::SocketAddress& peer, const sys::SocketAddress& local) {
  const sys::SocketAddress host{.address = *sys::IpAddress::Parse(kLoopback4), .port = 0};
  if (local.address.IsLoopback()) {
    return {.from = host,
            .to = {.address = *sys::IpAddress::Parse(sys::kGuestLoopback), .port = local.port}};
  }
  // From one of its own addresses a guest takes nothing.
  if (peer.address != local.address && !peer.address.IsLoopback())
    return {.from = peer, .to = local};
  if (local.address.family == AF_INET) return {.from = host, .to = local};
  return {.from = {.address = *sys::IpAddress::Parse(kLoopback6), .port = 0}, .to = local};
}

}  // namespace kata::network
