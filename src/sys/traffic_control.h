// SPDX-License-Identifier: Apache-2.0
//
// sys/traffic_control.h - sending all that comes in on one link out of another one, and programs
// that decide about packets first.
//
// To send, only classifiers that every kernel with traffic control has are used: u32 and mirred.
// Basis: tc(8), tc-u32(8), tc-mirred(8), tc-bpf(8), kernel
// include/uapi/linux/{pkt_sched,pkt_cls}.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "sys/netlink_socket.h"

namespace kata::sys {

// The hook for what comes in. Filters and redirects on it go with it.
// Errors  kAlreadyExists  the link has one, of whatever kind
//         kNotFound       no such link, or a kernel without it
Result<void> AddIngressQdisc(NetlinkSocket& socket, int link);
// Whether the link has one, of whatever kind.
Result<bool> HasIngressQdisc(NetlinkSocket& socket, int link);
// Errors  kNotFound, kInvalidArgument  no such link, or it has none
Result<void> DeleteIngressQdisc(NetlinkSocket& socket, int link);

// The hooks of a link of ours, for what comes in and for what goes out; one that is there is used.
// Errors  kNotFound  no such link, or a kernel without them
// Gives whether they were made.
Result<bool> EnsureHooks(NetlinkSocket& socket, int link);
// Errors  as of DeleteIngressQdisc
Result<void> DeleteHooks(NetlinkSocket& socket, int link);

enum class Hook { kIngress, kEgress };

// Before all other filters of the hook, `program` (BPF_PROG_TYPE_SCHED_CLS) says what becomes of a
// packet: TC_ACT_SHOT, or TC_ACT_UNSPEC for the next filter to decide. An earlier program of the
// hook gives way. The link must have hooks; it keeps the program as long as it has them. Errors
// kUnimplemented  a kernel without the classifier for programs (CONFIG_NET_CLS_BPF)
Result<void> PutProgram(NetlinkSocket& socket, int link, Hook hook, int program,
                        std::string_view name);
// The kernel's number of the program that is called so there; nullopt where there is none.
Result<std::optional<uint32_t>> FindProgram(NetlinkSocket& socket, int link, Hook hook,
                                            std::string_view name);

// Every frame that comes in on `from` leaves by `to` and is seen by nobody else. `from` must have
// an ingress qdisc.
Result<void> RedirectIngress(NetlinkSocket& socket, int from, int to);

// Four bytes of a packet, from its network header on: those of `mask` must be those of `value`.
struct PacketKey {
  int offset = 0;  // a multiple of four
  uint32_t mask = 0;
  uint32_t value = 0;
};
// What of a redirect is seen by the host, too: packets of the Ethernet type `protocol` that have
// all of `keys`.
//
// place   from 1 to kMostShared, another one for every protocol of the link; several rules of one
//         protocol may have the same
inline constexpr uint32_t kMostShared = 8;
Result<void> ShareIngress(NetlinkSocket& socket, int from, int to, uint32_t place,
                          uint16_t protocol, std::span<const PacketKey> keys);

// Of what comes in on `from`, packets of the Ethernet type `protocol` that have all of `keys` leave
// by `to` and are seen by nobody else. `place` as above.
Result<void> RedirectSome(NetlinkSocket& socket, int from, int to, uint32_t place,
                          uint16_t protocol, std::span<const PacketKey> keys);

}  // namespace kata::sys
