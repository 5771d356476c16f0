// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/network_report.h - how a sandbox is connected, for `state --network`.
//
// Reads the sandbox's record and asks the kernel; the shim is not asked.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "host/record/network_report.h"
#include "host/record/record.h"

namespace kata::cli::oci {

using sandbox::EndpointReport;

// Of the sandbox `id`, or of the one that has a container of this name.
// Errors  kNotFound  there is none
Result<std::vector<EndpointReport>> ReportNetwork(
    const std::string& id, const std::string& records = sandbox::kRecordsRoot);

std::string FormatNetworkTable(const std::vector<EndpointReport>& endpoints);
std::string FormatNetworkJson(const std::vector<EndpointReport>& endpoints);

}  // namespace kata::cli::oci
