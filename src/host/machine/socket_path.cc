// SPDX-License-Identifier: Apache-2.0
#include "host/machine/socket_path.h"

#include <utility>

#include <fmt/format.h>

#include "host/network/socket_view.h"

namespace kata::sandbox {

Result<network::NamespaceView> SocketPath::Look() {
  network::NamespaceView view = network::SocketViewOf(KATA_TRY(network::ListContents(socket_)));
  for (network::Endpoint& endpoint : view.endpoints) {
    // It stays when another interface becomes the one that leads to others.
    if (!mac_) {
      mac_ = endpoint.link.mac == sys::MacAddress{} ? sys::RandomMac() : endpoint.link.mac;
    }
    endpoint.link.mac = *mac_;
  }
  return view;
}

Result<void> SocketPath::Begin(int inner, sys::NetlinkSocket& socket, int tap,
                               const network::Endpoint& endpoint, const egress::Policy& policy) {
  if (translator_) return {};
  sys::UniqueFd inside = KATA_TRY(sys::Duplicate(inner));
  sys::UniqueFd outside = KATA_TRY(sys::Duplicate(ns_.get()));
  translator_ = KATA_TRY_WITHIN(fmt::format("use network namespace \"{}\" by sockets", path_),
                                network::Translator::Start({.inner = std::move(inside),
                                                            .outer = std::move(outside),
                                                            .tap = tap,
                                                            .mac = endpoint.link.mac,
                                                            .mtu = endpoint.link.mtu,
                                                            .egress = policy},
                                                           socket));
  return {};
}

void SocketPath::SharePorts(agent::AgentClient& agent, sys::EventLoop& loop) {
  if (translator_ && !ports_) ports_ = PortSharing::Start(*translator_, agent, loop);
}

void SocketPath::End() {
  if (ports_) std::exchange(ports_, nullptr)->Stop();
  translator_.reset();
}

}  // namespace kata::sandbox
