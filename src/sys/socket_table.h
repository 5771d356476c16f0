// SPDX-License-Identifier: Apache-2.0
//
// sys/socket_table.h - the kernel's lists of TCP and UDP sockets.
//
// Basis: proc(5), /proc/net/tcp, tcp6, udp and udp6.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "sys/socket_address.h"

namespace kata::sys {

struct SocketEntry {
  SocketAddress own;
  uint8_t state = 0;  // TCP_LISTEN and the like; TCP_CLOSE of a UDP socket that takes all
  ino_t inode = 0;    // 0: no process has it, as of a connection that waits to be accepted
};

// A line of one of these tables. Absent where it is none, as the first.
std::optional<SocketEntry> ParseSocketEntry(std::string_view line, int family);

}  // namespace kata::sys
