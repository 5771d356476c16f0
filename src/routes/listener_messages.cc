// SPDX-License-Identifier: Apache-2.0
#include "routes/listener_messages.h"

#include <cstdint>
#include <string>

namespace kata::routes {
namespace {

constexpr size_t kMost = 2048;

void Read(const google::protobuf::RepeatedPtrField<guest::Listener>& listeners,
          sys::Protocol protocol, std::vector<sys::ReachedListener>& all) {
  for (const guest::Listener& each : listeners) {
    const auto address = sys::IpAddress::FromBytes(each.address());
    if (!address || each.port() == 0 || each.port() > UINT16_MAX || each.through() > UINT16_MAX ||
        all.size() == kMost) {
      continue;
    }
    all.push_back(
        {.listener = {.protocol = protocol,
                      .at = {.address = *address, .port = static_cast<uint16_t>(each.port())}},
         .through = static_cast<uint16_t>(each.through())});
  }
}

}  // namespace

std::vector<sys::ReachedListener> ReadListeners(const guest::Listeners& listeners) {
  std::vector<sys::ReachedListener> all;
  Read(listeners.listeners(), sys::Protocol::kTcp, all);
  Read(listeners.datagrams(), sys::Protocol::kUdp, all);
  return all;
}

guest::Listeners WriteListeners(const std::vector<sys::ReachedListener>& listeners) {
  guest::Listeners message;
  for (const sys::ReachedListener& each : listeners) {
    guest::Listener& listener = each.listener.protocol == sys::Protocol::kTcp
                                    ? *message.add_listeners()
                                    : *message.add_datagrams();
    listener.set_address(std::string(each.listener.at.address.Bytes()));
    listener.set_port(each.listener.at.port);
    listener.set_through(each.through);
  }
  return message;
}

}  // namespace kata::routes
