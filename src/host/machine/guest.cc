// SPDX-License-Identifier: Apache-2.0
#include "host/machine/guest.h"

#include <utility>

#include <fmt/format.h>

namespace kata::sandbox {

void StartedGuest::Stop() {
  if (processes) processes->Stop();
  // It asks the agent for names until then.
  if (network) network->Close();
}

std::shared_ptr<GuestNetwork> Guest::network() const {
  const MutexLock lock(mutex_);
  return network_;
}

Result<void> Guest::SyncNetwork(Deadline deadline) const {
  const auto network = this->network();
  if (!network || !alive()) return {};
  return network->Sync(*vm(), *agent(), deadline);
}

void Guest::ShareLoopback() const {
  const auto network = this->network();
  if (network && alive()) network->ShareLoopback(*agent());
}

void Guest::Stop() {
  started_->Stop();
  std::shared_ptr<GuestNetwork> network;
  {
    const MutexLock lock(mutex_);
    // A namespace lives as long as somebody has it open.
    network = std::exchange(network_, nullptr);
  }
  if (network) network->Close();
}

std::string Guest::NextDiskId() const { return fmt::format("{}{}", kDiskPrefix, disks_++); }

}  // namespace kata::sandbox
