// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/network_report.h - how a sandbox is connected, for `state --network`.
//
// Reads the sandbox's record and asks the kernel; the shim is not asked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/network/connection.h"
#include "host/network/egress_guard.h"
#include "host/record/record.h"
#include "sys/rtnetlink.h"

namespace kata::cli::oci {

// One interface of the sandbox.
struct EndpointReport {
  network::Connection connection;
  sys::Link link;
  std::vector<std::string> addresses;                // "10.0.0.2/24"
  std::optional<network::EgressCounts> denied = {};  // by an egress policy; absent: there is none
};

// Of the sandbox `id`, or of the one that has a container of this name.
// Errors  kNotFound  there is none
Result<std::vector<EndpointReport>> ReportNetwork(
    const std::string& id, const std::string& records = sandbox::kRecordsRoot);

std::string FormatNetworkTable(const std::vector<EndpointReport>& endpoints);
std::string FormatNetworkJson(const std::vector<EndpointReport>& endpoints);

}  // namespace kata::cli::oci
