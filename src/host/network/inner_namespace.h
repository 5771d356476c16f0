// SPDX-License-Identifier: Apache-2.0
//
// host/network/inner_namespace.h - a namespace whose kernel takes all that a guest sends for its
// own.
//
// Every address is local for what comes from the machine's tap, and everything that the namespace
// sends goes there. First segments of TCP connections go to another tap instead.
#pragma once

#include <string>

#include "base/result.h"
#include "host/network/echo_translator.h"
#include "host/network/tcp_translator.h"
#include "host/network/udp_translator.h"
#include "sys/fd.h"
#include "sys/ip_address.h"
#include "sys/netlink_socket.h"

namespace kata::network {

// What comes out of the namespace.
struct InnerSockets {
  TcpSockets tcp;
  UdpSockets udp;
  EchoSockets echo;
  sys::UniqueFd steering;
};

// Makes `ns`, which has nothing but the tap with the index `tap`, such a namespace. To be called
// once.
Result<InnerSockets> MakeInner(int ns, sys::NetlinkSocket& socket, int tap,
                               const sys::MacAddress& mac, uint32_t mtu);

}  // namespace kata::network
