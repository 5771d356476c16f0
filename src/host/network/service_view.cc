// SPDX-License-Identifier: Apache-2.0
#include "host/network/service_view.h"

#include <algorithm>

#include <fmt/format.h>
#include <netinet/in.h>

#include "host/network/two_namespaces.h"

namespace kata::network {

std::vector<sys::Listener> DoorsFor(std::vector<sys::Listener> listeners) {
  const size_t count = listeners.size();
  for (size_t i = 0; i < count; ++i) {
    const sys::SocketAddress& at = listeners[i].at;
    if (at.address.family != AF_INET6 || !at.address.IsAny()) continue;
    listeners.push_back(
        {.protocol = listeners[i].protocol, .at = {.address = {}, .port = at.port}});
  }
  std::ranges::sort(listeners);
  listeners.erase(std::ranges::unique(listeners).begin(), listeners.end());
  return listeners;
}

std::vector<sys::Listener> ServicesOf(const std::vector<sys::Listener>& listeners) {
  std::vector<sys::Listener> services;
  std::ranges::copy_if(listeners, std::back_inserter(services), [](const sys::Listener& each) {
    const sys::IpAddress& address = each.at.address;
    return address.IsAny() || address.IsLoopback() || IsReachable(address);
  });
  return services;
}

Result<sys::SocketAddress> OuterAddress(sys::Protocol protocol, const sys::SocketAddress& wanted,
                                        const Services& services) {
  if (wanted.address == *sys::IpAddress::Parse(kLoopback4)) {
    if (const auto service = services.ports.Behind(protocol, wanted.port)) {
      const sys::SocketAddress to{.address = service->at.address.LoopbackIfAny(),
                                  .port = service->at.port};
      const uint8_t number = protocol == sys::Protocol::kTcp ? IPPROTO_TCP : IPPROTO_UDP;
      if (egress::Allows(services.egress, number, to.address, to.port)) return to;
    }
  } else if (IsReachable(wanted.address) && wanted.address != *sys::IpAddress::Parse(kLoopback6)) {
    return wanted;
  }
  return Fail(Code::kPermissionDenied,
              fmt::format("{} is nothing that a guest reaches", wanted.Text()));
}

GuestEnds EndsInGuest(const sys::SocketAddress& peer, const sys::SocketAddress& local,
                      uint16_t through) {
  const sys::SocketAddress host{.address = *sys::IpAddress::Parse(kLoopback4), .port = 0};
  // From one of its own addresses a guest takes nothing.
  const bool from_itself = peer.address == local.address || peer.address.IsLoopback();
  if (local.address.IsLoopback() || (from_itself && through != 0)) {
    return {.from = host,
            .to = {.address = *sys::IpAddress::Parse(sys::kGuestLoopback),
                   .port = through != 0 ? through : local.port}};
  }
  if (!from_itself) return {.from = peer, .to = local};
  if (local.address.family == AF_INET) return {.from = host, .to = local};
  return {.from = {.address = *sys::IpAddress::Parse(kLoopback6), .port = 0}, .to = local};
}

}  // namespace kata::network
