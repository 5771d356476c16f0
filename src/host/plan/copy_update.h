// SPDX-License-Identifier: Apache-2.0
//
// host/plan/copy_update.h - how a copy in the guest becomes what its source has become, so that who
// looks meanwhile sees one state or the other.
//
// Kubernetes writes a volume (ConfigMap, Secret, projected) in a new directory, has the link ..data
// point to that, and then makes and removes the links that programs use. The same order is kept.
#pragma once

#include <string>
#include <vector>

#include "host/agent/agent_client.h"

namespace kata::sandbox {

// The link that is swapped.
inline constexpr const char* kDataLink = "..data";

struct CopyUpdate {
  // In this order, in this one: first what is another kind of file now.
  std::vector<std::string> remove_first;
  std::vector<agent::GuestFile> send;
  std::vector<std::string> remove_last;
};

// Both parents first, the volume itself at their front.
CopyUpdate PlanCopyUpdate(const std::vector<agent::GuestFile>& before,
                          const std::vector<agent::GuestFile>& now);

}  // namespace kata::sandbox
