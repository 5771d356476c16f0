// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/probe.h - what `kata-runtime doctor` runs inside its container: kata-stand-in, which
// is a static program and needs no file beside itself.
//
//   --probe wait                       sleeps until a signal ends it
//   --probe hello                      hello=1
//   --probe processor MILLIS           rounds_per_second=N of a loop, run for about so long
//   --probe network ADDRESS PORT N     sent=N received=M median_us=U: N datagrams, each answered
//   --probe files PATH MIB             write_mib_per_second=N read_mib_per_second=M
//
// What it prints are lines NAME=NUMBER; the exit status is 0 unless nothing could be measured.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

namespace kata::cli::doctor {

inline constexpr char kProbeWord[] = "--probe";

// Carries out `line`, whose first word is the program and whose second is kProbeWord. Returns the
// exit status.
int RunProbe(std::span<char* const> line);

// The numbers that a probe has printed. What does not parse is left out: the text comes from a
// guest.
std::map<std::string, double> ParseProbe(std::string_view text);

}  // namespace kata::cli::doctor
