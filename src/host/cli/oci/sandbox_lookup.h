// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/sandbox_lookup.h - sandboxes of this host, whoever started them: kata-runtime, Docker, a
// pod's containerd.
#pragma once

#include <string>

#include "base/result.h"
#include "host/record/record.h"

namespace kata::cli::oci {

// Of the sandbox `id`, or of the one that has a container of this name.
// Errors  kNotFound  there is none
Result<sandbox::SandboxRecord> FindRecord(const std::string& id,
                                          const std::string& records = sandbox::kRecordsRoot);

// Which container is meant, for calls to its shim.
struct FoundContainer {
  std::string id;
  std::string shim;  // path of the shim's socket
};
// The container `id`, or the only one of the sandbox `id`; either may be given by its beginning, as
// engines show ids, where that says which.
// Errors  kNotFound         there is none
//         kInvalidArgument  the sandbox has several, or several begin so; the message names them
Result<FoundContainer> FindContainer(const std::string& id,
                                     const std::string& records = sandbox::kRecordsRoot);

}  // namespace kata::cli::oci
