// SPDX-License-Identifier: Apache-2.0
//
// host/record/network_report.h - how a sandbox is connected, and what went over it.
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

namespace kata::sandbox {

// One interface of the sandbox.
struct EndpointReport {
  network::Connection connection;
  sys::Link link;
  std::vector<std::string> addresses;                // "10.0.0.2/24"
  std::optional<network::EgressCounts> denied = {};  // by an egress policy; absent: there is none
};

// Interfaces that have just gone are left out.
// Errors  kUnavailable  the sandbox has ended; else that its namespace cannot be entered
Result<std::vector<EndpointReport>> ReportNetwork(const SandboxRecord& record);

}  // namespace kata::sandbox
