// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/network_messages.h - the protocol's words for interfaces, addresses and
// neighbours, and the kernel's. Those for routes: routes/route_messages.h.
//
// Links are indices for the kernel and names in the protocol; the caller translates.
#pragma once

#include <string>

#include "base/result.h"
#include "proto/types.pb.h"
#include "sys/rtnetlink.h"

namespace kata::guest {

// All of these: kInvalidArgument, and the message quotes what is wrong.
Result<sys::LinkAddress> ReadAddress(const types::IPAddress& address);
Result<sys::Neighbor> ReadNeighbor(const types::ARPNeighbor& neighbor);
Result<sys::MacAddress> ReadMac(const std::string& text);
// What the kernel takes as the name of a link.
Result<void> CheckLinkName(const std::string& name);

void FillAddress(const sys::LinkAddress& address, types::IPAddress* message);
void FillInterface(const sys::Link& link, types::Interface* message);

}  // namespace kata::guest
