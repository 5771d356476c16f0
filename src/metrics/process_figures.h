// SPDX-License-Identifier: Apache-2.0
//
// metrics/process_figures.h - what /proc says of processes, as metrics.
// Basis: proc_pid_stat(5), proc_pid_status(5), proc_pid_io(5).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/builder.h"

namespace kata::metrics {

struct ProcessFigures {
  double threads = 0;
  double fds = 0;
  double max_fds = 0;
  std::map<std::string, double> stat;    // utime, stime, cutime, cstime: clock ticks
  std::map<std::string, double> status;  // vmrss: bytes; voluntary_ctxt_switches
  std::map<std::string, double> io;      // as the file has them
  double start_ticks = 0;                // clock ticks since boot

  double Status(const std::string& item) const {
    const auto found = status.find(item);
    return found == status.end() ? 0 : found->second;
  }
  double cpu_ticks() const;  // utime and stime
};

// Of one process, by its directory below /proc; what cannot be read is left out.
ProcessFigures ReadProcess(const std::string& directory);
// Those of several as one.
ProcessFigures Sum(const std::vector<ProcessFigures>& all);

// PREFIX_threads, _proc_stat, _proc_status and _io_stat; with `fds` also _fds.
void AddProcess(Builder& builder, std::string_view prefix, const ProcessFigures& figures,
                bool fds = true);
// PREFIX_process_cpu_seconds_total, _open_fds, _max_fds, _resident_memory_bytes,
// _virtual_memory_bytes and _start_time_seconds. `stat` is the text of /proc/stat, for the last
// one.
void AddCommonFigures(Builder& builder, std::string_view prefix, const ProcessFigures& figures,
                      std::string_view stat);

}  // namespace kata::metrics
