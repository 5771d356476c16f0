// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/metrics.h - figures of the guest and of the agent as Prometheus text.
#pragma once

#include <string>

namespace kata::guest {

// Reads the guest's figures below `proc`, which is /proc or a directory that looks like it. Files
// that are missing leave their figures out.
//
//   kata_guest_load{item="load1|load5|load15"}    kata_guest_tasks{item="running|total"}
//   kata_guest_meminfo{item="mem_total|..."}      bytes
//   kata_guest_cpu_time{cpu="total|0|1...",item="user|nice|system|idle|iowait|..."}  clock ticks
//   kata_guest_netdev_stat{interface="lo",item="recv_bytes|..."}
//   kata_agent_process_resident_memory_bytes      kata_agent_process_virtual_memory_bytes
//   kata_agent_process_open_fds                   kata_agent_containers  kata_agent_processes
std::string FormatMetrics(const std::string& proc, size_t containers, size_t processes);

}  // namespace kata::guest
