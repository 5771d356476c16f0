// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/cgroup/cpu_list.h - processors of the host, named to a guest that has others.
//
// A caller who says "cpus 4-5" knows the host. The guest gives as many processors as were named,
// those of the same numbers where it has them, others where it has not: "two processors" is what
// such a list can mean in a virtual machine.
// Basis: cpuset(7) "List format".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::guest {

// The numbers of a list such as "0-2,5", ascending, each once.
// Errors  kInvalidArgument  not a list, or a number above 8191
Result<std::vector<int>> ParseCpuList(std::string_view list);

// "0-2,5"
std::string FormatCpuList(const std::vector<int>& cpus);

// As many of `available` as `wanted` names, at most all; both ascending.
std::vector<int> FitCpus(const std::vector<int>& wanted, const std::vector<int>& available);

// The processors that this process may use, ascending.
std::vector<int> AvailableCpus();

}  // namespace kata::guest
