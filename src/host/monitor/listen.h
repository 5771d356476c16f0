// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/listen.h - where kata-monitor listens, as its flag has it.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::monitor {

struct Listener {
  sys::UniqueFd socket;
  std::string address;  // as others reach it: "127.0.0.1:8090", "unix:/run/kata-monitor.sock"
  std::string path;     // of the socket's file; empty: it has none
};

// `address` is HOST:PORT, where an empty host is every address of this machine and port 0 one that
// is free, or unix:PATH. The socket's file is for its owner, and replaces one that nobody serves.
// Errors  kInvalidArgument  it is neither
//         kAlreadyExists    somebody listens there
Result<Listener> Listen(const std::string& address);

}  // namespace kata::monitor
