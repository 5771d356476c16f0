// SPDX-License-Identifier: Apache-2.0
//
// host/shim/pod_request.h - what a pod of the sandbox API is to be, from what its maker says: the
// call itself, the bundle's config.json where there is one, and CRI's PodSandboxConfig.
// Basis: containerd's sandbox API; Kubernetes' CRI v1.
#pragma once

#include <string>

#include "base/result.h"
#include "host/sandbox/pod.h"
#include "proto/sandbox_api.pb.h"

namespace kata::shim {

// All but the configuration; makes the directory that it names. The call's annotations win over
// CRI's, and those over the bundle's. Errors  kInvalidArgument  config.json, or options, that are
// none
//         kUnimplemented    a root file system, which a pod without a container has no use for
Result<sandbox::PodRequest> ReadPodRequest(const sandbox_api::CreateSandboxRequest& request);

}  // namespace kata::shim
