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

}  // namespace kata::cli::oci
