// SPDX-License-Identifier: Apache-2.0
//
// sys/socket_steering.h - one socket for all that comes to a network namespace.
//
// A socket listens at one port. Steered, it gets what is for any port and any address that the
// namespace routes to itself, unless a socket of its own is there for the connection. The kernel is
// asked by a small BPF program (sk_lookup), which ends with the descriptor.
// Basis: kernel Documentation/bpf/prog_sk_lookup.rst, bpf(2).
#pragma once

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// Bound sockets of the namespace, TCP ones that listen; -1: none of that kind.
struct SteeredSockets {
  int tcp4 = -1;
  int udp4 = -1;
  int tcp6 = -1;
  int udp6 = -1;
};

// From now until the descriptor is closed, in the network namespace `ns`. What is for a kind that
// has no socket is refused.
// Errors  kUnimplemented     the kernel has no such programs (5.9, CONFIG_BPF_SYSCALL)
//         kPermissionDenied  CAP_BPF or CAP_NET_ADMIN is missing
Result<UniqueFd> SteerSockets(int ns, const SteeredSockets& sockets);

// Likewise for TCP connections to 127.0.0.1 and ::1 alone, at whatever port, also one at which
// another socket listens. All else goes where it would.
Result<UniqueFd> SteerLoopback(int ns, int tcp4, int tcp6);

}  // namespace kata::sys
