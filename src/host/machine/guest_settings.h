// SPDX-License-Identifier: Apache-2.0
//
// host/machine/guest_settings.h - which sysctls of its network a guest is told of, and when.
//
// The kernel does not tell of most changes, so the namespace is looked at whenever the guest's
// network is brought up to date anyway.
#pragma once

#include <optional>

#include "host/network/settings.h"
#include "proto/agent.pb.h"

namespace kata::sandbox {

class GuestSettings {
 public:
  // `knows_some`: a guest that was saved, which was told of others then.
  void Begin(network::SettingsFor path, bool knows_some);
  // Reads those of the network namespace `ns`. Whether they are others than the last time.
  bool Look(int ns);
  // What to tell the guest, for Told once it was told; nullopt where it knows.
  std::optional<agent::NetworkSettings> Plan(const network::NamespaceView& view);
  void Told() { told_ = planned_; }

 private:
  network::SettingsFor path_ = network::SettingsFor::kFrames;
  network::Settings read_;
  network::Settings planned_;
  std::optional<network::Settings> told_ = network::Settings();
};

}  // namespace kata::sandbox
