// SPDX-License-Identifier: Apache-2.0
//
// sys/tcp_table.h - the kernel's list of TCP sockets.
//
// Basis: proc(5), /proc/net/tcp and tcp6.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "sys/socket_address.h"

namespace kata::sys {

struct TcpEntry {
  SocketAddress own;
  uint8_t state = 0;  // TCP_LISTEN and the like
  ino_t inode = 0;    // 0: no process has it, as of a connection that waits to be accepted
};

// A line of either table. Absent where it is none, as the first.
std::optional<TcpEntry> ParseTcpEntry(std::string_view line, int family);

}  // namespace kata::sys
