// SPDX-License-Identifier: Apache-2.0
//
// host/shim/daemon.h - the process that `start` leaves behind.
#pragma once

#include <string>

namespace kata::shim {

// What the daemon is told by `start`. All of it but `listen_fd` may also be read by people from its
// command line.
struct DaemonArgs {
  std::string namespace_name;  // containerd's namespace
  std::string id;              // of the sandbox: in a pod, the id of the pod's sandbox container
  std::string containerd_address;  // socket of containerd's gRPC API
  std::string ttrpc_address;       // socket of containerd's ttrpc API, for events; may be empty
  std::string publish_binary;      // containerd's own program, for events without the above
  std::string bundle;              // of the container that `start` was called for; absolute
  std::string socket_path;         // of listen_fd; the daemon unlinks it when it ends
  std::string config_path = {};    // of the runtime options, where `start` was told them
  bool debug = false;
  int listen_fd = -1;  // listening already, close-on-exec, owned by the daemon
};

// Serves until the sandbox has gone and containerd has asked for the end. Called once, in a session
// of its own, with the bundle as working directory and nothing but /dev/null and `listen_fd` open.
// Returns the exit code.
int RunDaemon(const DaemonArgs& args);

}  // namespace kata::shim
