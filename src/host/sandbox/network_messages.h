// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/network_messages.h - a namespace's network in the words of the agent protocol.
//
// Translating only.
#pragma once

#include <map>
#include <string>

#include "host/network/endpoints.h"
#include "proto/agent.pb.h"

namespace kata::sandbox {

// `hardware_mac` is the address that the machine's NIC was made with; `pci_path` is empty for one
// that was there from the start.
types::Interface InterfaceFor(const network::Endpoint& endpoint,
                              const sys::MacAddress& hardware_mac, const std::string& pci_path);

// Those of the endpoints in `names` (index to name), and those of no interface.
agent::Routes RoutesFor(const std::vector<sys::Route>& routes,
                        const std::map<int, std::string>& names);

agent::ARPNeighbors NeighborsFor(const network::NamespaceView& view);

}  // namespace kata::sandbox
