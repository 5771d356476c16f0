// SPDX-License-Identifier: Apache-2.0
//
// host/plan/network_messages.h - a namespace's network in the words of the agent protocol.
//
// Translating only.
#pragma once

#include <string>

#include "host/network/endpoints.h"
#include "proto/agent.pb.h"
#include "routes/route_messages.h"

namespace kata::sandbox {

// `hardware_mac` is the address that the machine's NIC was made with; `pci_path` is empty for one
// that was there from the start.
types::Interface InterfaceFor(const network::Endpoint& endpoint,
                              const sys::MacAddress& hardware_mac, const std::string& pci_path);

// The routes of the endpoints in `names`, and those of no interface; and the rules.
agent::Routes RoutesFor(const network::NamespaceView& view, const routes::NamesByLink& names);

agent::ARPNeighbors NeighborsFor(const network::NamespaceView& view);

}  // namespace kata::sandbox
