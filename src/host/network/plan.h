// SPDX-License-Identifier: Apache-2.0
//
// host/network/plan.h - what has to change so that a machine has the network of its namespace.
//
// Deciding only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "host/network/endpoints.h"
#include "host/network/model.h"

namespace kata::network {

// A NIC of the machine.
struct NicUse {
  int link = 0;  // index of the endpoint that it stands for; 0: it waits for one
};

struct NetworkPlan {
  // NICs whose endpoints have gone.
  std::vector<size_t> release;
  struct Connect {
    size_t endpoint = 0;        // in the view
    std::optional<size_t> nic;  // one that waits; none: a new one is to be plugged
    std::string tap;            // of the new one
  };
  std::vector<Connect> connect;

  bool empty() const { return release.empty() && connect.empty(); }
};

// An endpoint that is down for a while keeps its NIC. A NIC that is released can serve another
// endpoint in the same plan.
NetworkPlan PlanNetwork(const NamespaceView& view, const std::vector<NicUse>& nics, Model model);

// How many NICs a machine is to begin with: one for each endpoint, and one where there is none yet,
// because plugging takes longer; never more than `most`.
size_t NicsAtBoot(const NamespaceView& view, Model model, size_t most);

}  // namespace kata::network
