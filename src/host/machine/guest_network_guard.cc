// SPDX-License-Identifier: Apache-2.0
//
// How the taps of a machine are guarded, where there is a policy about what they may send.
#include <utility>

#include "host/machine/guest_network.h"
#include "sys/traffic_control.h"

namespace kata::sandbox {

Result<void> GuestNetwork::CheckEndpoint(const network::Endpoint& endpoint,
                                         network::Model model) const {
  KATA_TRY(network::CheckEndpoint(endpoint));
  return guard_ ? network::EgressGuard::Check(endpoint, model) : Result<void>();
}

Result<void> GuestNetwork::Guard(const network::Tap& tap, network::Model model) {
  return guard_ ? guard_->Put(socket_, tap.link, model) : Result<void>();
}

Result<void> GuestNetwork::Disconnect(const GuestNic& nic) {
  if (!guard_) return network::Disconnect(socket_, *nic.connection);
  // Without its hooks a tap leads to the namespace's own IP layer, which may know a way out.
  const auto down = sys::ChangeLink(socket_, nic.tap.link, {.up = false});
  KATA_TRY(network::Disconnect(socket_, *nic.connection));
  if (nic.hot) return {};
  KATA_TRY(down);
  KATA_TRY(Guard(nic.tap, nic.connection->model));
  return sys::ChangeLink(socket_, nic.tap.link, {.up = true});
}

Result<void> GuestNetwork::SetEgress(egress::Policy policy) {
  calls_.Begin();
  const CallTurn turn(calls_);
  options_.egress = std::move(policy);
  const bool guarded = guard_.has_value();
  KATA_TRY(MakeGuard());
  for (const GuestNic& nic : nics_) {
    if (guarded && !guard_) KATA_TRY(sys::DeleteHooks(socket_, nic.tap.link));
    KATA_TRY(Guard(nic.tap, network::Model::kTcFilter));
  }
  return {};
}

Result<void> GuestNetwork::MakeGuard() {
  guard_.reset();
  if (options_.egress.empty()) return {};
  guard_ = KATA_TRY(network::EgressGuard::Make(options_.egress, {.stand_ins = IsBySockets()}));
  return {};
}

}  // namespace kata::sandbox
