// SPDX-License-Identifier: Apache-2.0
#include "host/plan/layered_request.h"

#include <utility>

#include "host/plan/root_layers.h"

namespace kata::sandbox {

void LayeredRequest::UseLayers(agent::CreateContainerRequest& request,
                               std::vector<agent::Storage> storages, const std::string& root) {
  for (agent::Storage& storage : storages) *request.add_storages() = std::move(storage);
  storages_ = request.storages_size();
  shared_root_ = request.oci().root().path();
  request.mutable_oci()->mutable_root()->set_path(root);
}

Result<void> LayeredRequest::Create(agent::CreateContainerRequest& request, const Ask& ask,
                                    const std::function<Result<void>(const Error&)>& shared) {
  auto created = ask(request);
  if (created || !in_use() || !IsOfOverlay(created.error())) return created;
  request.mutable_storages()->DeleteSubrange(0, std::exchange(storages_, 0));
  request.mutable_oci()->mutable_root()->set_path(std::exchange(shared_root_, {}));
  KATA_TRY(shared(created.error()));
  return ask(request);
}

}  // namespace kata::sandbox
