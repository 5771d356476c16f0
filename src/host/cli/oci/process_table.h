// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/process_table.h - a container's processes as ps(1) prints them.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "proto/task.pb.h"

namespace kata::cli::oci {

// What the table shows of the host.
struct TableContext {
  uint64_t now = 0;  // seconds since 1970
  std::function<std::string(uint32_t uid)> name_of;
};

// The table for `options` as ps(1) takes them: -e, -A and a do not matter, since the processes are
// the container's; -f is the full format, and the one without options; x or -x the one of BSD.
//
// `processes` are the guest's word: of its texts only printable characters are shown.
// Errors  kInvalidArgument  names the option that is not known
Result<std::string> ProcessTable(const task::PidsResponse& processes,
                                 std::span<const std::string> options, const TableContext& context);

}  // namespace kata::cli::oci
