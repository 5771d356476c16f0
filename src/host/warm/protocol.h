// SPDX-License-Identifier: Apache-2.0
//
// warm/protocol.h - how shims and people talk with the service kata-factory.
//
// Over the unix socket vm_cache_endpoint, one request a connection, a line of JSON each way:
//   {"take":{"program":"...","argv":[...],"env":[...],"oom_score_adj":1}}   with one descriptor
//   {"pid":77}  or  {"error":"..."};  then {"go":{}} from the asking side, or its end: who asked
//   for too long starts a shim of its own, and two must not serve one socket
//   {"status":{}}  ->  {"config":"/...","wanted":2,"ready":2,...}
//   {"drop":{}}    ->  {}          the ready ones end, and new ones are made
// The service hands the connection of a "take" to a warm shim, which reads and answers it; so the
// first bytes tell the two kinds apart before anything is read. The descriptor is the listening
// socket that the shim is to serve.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"

namespace kata::warm {

inline constexpr std::string_view kTakePrefix = "{\"take\"";
inline constexpr std::string_view kGo = "{\"go\":{}}\n";

// What a shim is to become.
struct TakeRequest {
  std::string program;  // IdentityOfProgram() of the asking one: others do not mix
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string directory;  // to work in
  std::optional<int> oom_score_adj;
};

std::string FormatTake(const TakeRequest& request);
// Errors  kInvalidArgument
Result<TakeRequest> ParseTake(std::string_view line);

// The answers, lines of JSON.
std::string FormatTaken(pid_t pid);
std::string FormatRefusal(std::string_view reason);

// Tells one build of the running program from the next, at the same path or not.
std::string IdentityOfProgram();

// Asks the service at `endpoint` for a warm shim that is to serve `listener`; its pid.
// Errors  kNotFound, kUnavailable  no service, or none is ready
//         kFailedPrecondition      the shim refuses, being of another version as a rule
Result<pid_t> Take(const std::string& endpoint, const TakeRequest& request, int listener,
                   Deadline deadline);

// The configuration file that the service at `endpoint` serves; empty: it has none.
Result<std::string> ConfigOf(const std::string& endpoint, Deadline deadline);

// A request of people; the answer, a line of JSON.
Result<std::string> Ask(const std::string& endpoint, std::string_view request, Deadline deadline);

// Reads up to the end of a line, and the descriptor that came with it.
struct Line {
  std::string text;
  sys::UniqueFd fd;
};
Result<Line> ReadLine(int socket, Deadline deadline);

}  // namespace kata::warm
