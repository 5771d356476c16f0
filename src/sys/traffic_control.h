// SPDX-License-Identifier: Apache-2.0
//
// sys/traffic_control.h - sending all that comes in on one link out of another one.
//
// Only classifiers that every kernel with traffic control has are used: u32 and mirred.
// Basis: tc(8), tc-u32(8), tc-mirred(8), kernel include/uapi/linux/{pkt_sched,pkt_cls}.h.
#pragma once

#include "base/result.h"
#include "sys/netlink_socket.h"

namespace kata::sys {

// The hook for what comes in. Filters and redirects on it go with it.
// Errors  kAlreadyExists  the link has one, of whatever kind
//         kNotFound       no such link, or a kernel without it
Result<void> AddIngressQdisc(NetlinkSocket& socket, int link);
// Errors  kNotFound, kInvalidArgument  no such link, or it has none
Result<void> DeleteIngressQdisc(NetlinkSocket& socket, int link);

// Every frame that comes in on `from` leaves by `to` and is seen by nobody else. `from` must have
// an ingress qdisc.
Result<void> RedirectIngress(NetlinkSocket& socket, int from, int to);

}  // namespace kata::sys
