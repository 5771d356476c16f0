// SPDX-License-Identifier: Apache-2.0
//
// host/plan/layered_request.h - a request for a container whose root file system the guest puts
// together, and its way back to the shared one.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "proto/agent.pb.h"

namespace kata::sandbox {

class LayeredRequest {
 public:
  // Gives `request`, which has no storages yet and the shared root, these and the root `root`.
  void UseLayers(agent::CreateContainerRequest& request, std::vector<agent::Storage> storages,
                 const std::string& root);
  // From here on there is no way back.
  void Settle() { shared_root_.clear(); }
  // Whether the guest makes the root and there is a way back.
  bool in_use() const { return !shared_root_.empty(); }

  // Calls `ask` with the request. Where the guest could not mount what UseLayers has asked for, and
  // there is a way back, takes that, tells `shared` why, and calls it once more. An error of
  // `shared` is the answer.
  using Ask = std::function<Result<void>(const agent::CreateContainerRequest&)>;
  Result<void> Create(agent::CreateContainerRequest& request, const Ask& ask,
                      const std::function<Result<void>(const Error&)>& shared);

 private:
  std::string shared_root_;  // its path in the guest; empty: see in_use()
  int storages_ = 0;         // of the request, at its beginning
};

}  // namespace kata::sandbox
