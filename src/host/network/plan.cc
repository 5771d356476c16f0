// SPDX-License-Identifier: Apache-2.0
#include "host/network/plan.h"

#include <algorithm>
#include <set>

#include "host/network/connection.h"

namespace kata::network {

NetworkPlan PlanNetwork(const NamespaceView& view, const std::vector<NicUse>& nics, Model model) {
  NetworkPlan plan;
  if (model == Model::kNone) return plan;
  std::set<int> served;
  std::vector<size_t> waiting;
  for (size_t i = 0; i < nics.size(); ++i) {
    if (nics[i].link == 0) {
      waiting.push_back(i);
    } else if (std::ranges::find(view.links, nics[i].link) == view.links.end()) {
      plan.release.push_back(i);
      waiting.push_back(i);
    } else {
      served.insert(nics[i].link);
    }
  }
  std::set<std::string> names(view.names.begin(), view.names.end());
  auto next = waiting.begin();
  for (size_t i = 0; i < view.endpoints.size(); ++i) {
    const Endpoint& endpoint = view.endpoints[i];
    if (served.contains(endpoint.link.index)) continue;
    NetworkPlan::Connect connect{.endpoint = i, .nic = std::nullopt, .tap = ""};
    if (TakesSpareTap(model, endpoint) && next != waiting.end()) {
      connect.nic = *next++;
    } else {
      for (int number = 0; !names.insert(connect.tap = TapName(number)).second; ++number) {
      }
    }
    plan.connect.push_back(std::move(connect));
  }
  return plan;
}

size_t NicsAtBoot(const NamespaceView& view, Model model, size_t most) {
  if (model != Model::kTcFilter && model != Model::kSockets) return 0;
  const auto fitting = std::ranges::count_if(
      view.endpoints, [&](const Endpoint& each) { return TakesSpareTap(model, each); });
  // Endpoints of another kind bring their own NIC.
  if (fitting == 0 && !view.endpoints.empty()) return 0;
  return std::clamp<size_t>(static_cast<size_t>(fitting), 1, most);
}

}  // namespace kata::network
