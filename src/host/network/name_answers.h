// SPDX-License-Identifier: Apache-2.0
//
// host/network/name_answers.h - what Docker's name server needs of an interface that a guest has.
//
// For names that are not Docker's own it asks other servers, from inside of the container's network
// namespace and with its address. The answers come in on the interface, where a redirect to the
// guest takes them. The host's network stack gets a copy of them, and of what neighbours answer,
// for without it no question leaves. Guest and host have one address, and each has no use for what
// the other one asked for.
#pragma once

#include "base/result.h"
#include "sys/netlink_socket.h"

namespace kata::network {

// Shares answers that come in on `link`, all of which is redirected to `tap`. They are shared until
// the link has its ingress qdisc no more.
Result<void> ShareNameAnswers(sys::NetlinkSocket& socket, int link, int tap);

}  // namespace kata::network
