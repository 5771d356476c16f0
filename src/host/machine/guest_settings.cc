// SPDX-License-Identifier: Apache-2.0
#include "host/machine/guest_settings.h"

#include <utility>

#include "base/log.h"
#include "sys/netns.h"

namespace kata::sandbox {

void GuestSettings::Begin(network::SettingsFor path, bool knows_some) {
  path_ = path;
  if (knows_some) told_.reset();
}

bool GuestSettings::Look(int ns) {
  network::Settings now;
  LogIfFailed(sys::RunOnNetnsThread(ns, [&] { now = network::ReadSettings(path_); }));
  return std::exchange(read_, now) != now;
}

std::optional<agent::NetworkSettings> GuestSettings::Plan(const network::NamespaceView& view) {
  planned_ = network::PlanSettings(read_, view, path_);
  if (planned_ == told_) return std::nullopt;
  agent::NetworkSettings message;
  message.mutable_values()->insert(planned_.begin(), planned_.end());
  return message;
}

}  // namespace kata::sandbox
