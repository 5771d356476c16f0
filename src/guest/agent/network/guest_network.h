// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/guest_network.h - the network of the sandbox's containers.
//
// The containers have a network namespace of their own. Interfaces that the machine has, but that
// nobody has asked for yet, wait in the agent's, where no container sees them.
// Basis: Kata Containers agent protocol; network_namespaces(7), rtnetlink(7).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/network/network_settings.h"
#include "guest/agent/network/route_tables.h"
#include "proto/agent.pb.h"
#include "sys/fd.h"
#include "sys/netlink_socket.h"
#include "sys/rtnetlink.h"

namespace kata::guest {

class GuestNetwork {
 public:
  // Makes the namespace, its loopback up. In a process with one thread.
  static Result<GuestNetwork> Create();

  // Of the namespace; lives as long as this.
  int fd() const { return namespace_.get(); }

  // Whether the hardware that `interface` names has appeared.
  Result<bool> IsThere(const types::Interface& interface);
  // Gives the interface its name, addresses, MTU and the rest, takes away the addresses that are
  // not named, and raises it. What the interface is afterwards.
  // Errors  kNotFound         no such hardware
  //         kAlreadyExists    another interface has the name
  //         kInvalidArgument  an address or name that is none
  Result<types::Interface> Update(const types::Interface& interface);
  // Makes the namespace's sysctls those (NetworkSettings::Update), but for what was claimed.
  Result<void> UpdateSettings(const agent::NetworkSettings& settings);
  // The sysctls of a container's specification, before that container sets them.
  void ClaimSettings(const oci::Linux& section);
  // Takes the interface out of the containers' namespace.
  // Errors  kNotFound
  Result<void> Release(const std::string& permanent_hw_addr);
  // All but the loopback.
  Result<agent::Interfaces> Interfaces();

  // Makes routes and rules what `routes` says (see RouteTables). What they are afterwards.
  Result<agent::Routes> UpdateRoutes(const agent::Routes& routes);
  Result<agent::Routes> Routes() { return RouteTables::List(inside_); }

  Result<void> AddNeighbors(const agent::ARPNeighbors& neighbors);

  // Runs `work` in the containers' namespace, for what /proc/net shows there.
  Result<void> Within(const std::function<void()>& work);

  // A UDP socket of the containers' namespace, bound and non-blocking.
  // Errors  kInvalidArgument  not an address of the loopback
  Result<sys::UniqueFd> BindLoopbackUdp(const std::string& address, uint16_t port);
  // One of TCP, for its connections.
  Result<sys::UniqueFd> MakeTcpSocket(int family);

 private:
  GuestNetwork(sys::UniqueFd own_namespace, sys::UniqueFd made, sys::NetlinkSocket outside,
               sys::NetlinkSocket inside)
      : own_namespace_(std::move(own_namespace)),
        namespace_(std::move(made)),
        outside_(std::move(outside)),
        inside_(std::move(inside)) {}

  // The link in the containers' namespace; moves it there if need be.
  Result<sys::Link> Bring(const types::Interface& interface);
  Result<void> SetAddresses(const sys::Link& link, const std::vector<sys::LinkAddress>& wanted);
  Result<void> SetIpv6(const std::string& link, bool off);

  sys::UniqueFd own_namespace_;
  sys::UniqueFd namespace_;
  sys::NetlinkSocket outside_;  // in the agent's namespace
  sys::NetlinkSocket inside_;   // in the containers'
  RouteTables routes_;
  NetworkSettings settings_;
};

}  // namespace kata::guest
