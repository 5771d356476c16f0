// SPDX-License-Identifier: Apache-2.0
//
// host/network/connection_request.h - the first segment of a TCP connection, as a guest sends it.
//
// Knows no sockets. The bytes are a guest's: anything may be in them.
// Basis: RFC 9293, RFC 791, RFC 8200; virtio 1.2 section 5.1.6 (the header of ten bytes).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sys/socket_address.h"

namespace kata::network {

struct ConnectionRequest {
  sys::SocketAddress from;
  sys::SocketAddress to;
  uint32_t sequence = 0;
};

// Of an Ethernet frame without a virtio header. Absent where it is anything else but a SYN without
// options of IP.
std::optional<ConnectionRequest> ParseConnectionRequest(std::string_view frame);

// The frame that refuses it, with the addresses of Ethernet of `frame` exchanged.
std::string RefusalOf(std::string_view frame, const ConnectionRequest& request);

}  // namespace kata::network
