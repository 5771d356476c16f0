// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/cgroup/cgroup_stats.h - the figures of a version 2 cgroup in the protocol's form.
//
// The protocol's fields are those of version 1, so some are translated and some stay empty.
// Basis: the kernel's cgroup-v2.rst.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "proto/agent.pb.h"

namespace kata::guest {

// Reads the control files below the directory `cgroup`. Files that the kernel does not offer leave
// their fields empty. Times are nanoseconds; a limit of "max" is 2^64 - 1, for pids 0.
Result<agent::CgroupStats> ReadCgroupStats(const std::string& cgroup);

// The value of `key` in text made of "key value" lines; 0 where it is missing.
uint64_t FlatValue(std::string_view text, std::string_view key);

// The interfaces of /proc/<pid>/net/dev, without the loopback one.
void ParseNetDev(std::string_view text, agent::StatsContainerResponse* stats);

}  // namespace kata::guest
