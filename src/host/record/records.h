// SPDX-License-Identifier: Apache-2.0
//
// host/record/records.h - the sandboxes of this host, whoever started them.
#pragma once

#include <string>
#include <vector>

#include "host/record/record.h"

namespace kata::sandbox {

// Those whose record can be read, by their ids; machines that wait for a sandbox are among them.
std::vector<SandboxRecord> AllRecords(const std::string& root = kRecordsRoot);

// Whether its shim runs, and it is none that waits for a sandbox.
bool IsServed(const SandboxRecord& record);

}  // namespace kata::sandbox
