// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/launch.h - making a container: what `create` and `run` have in common.
#pragma once

#include <string>

#include "base/result.h"
#include "host/cli/oci/command.h"
#include "host/cli/oci/stand_in.h"
#include "host/cli/oci/state_dir.h"

namespace kata::cli::oci {

struct LaunchRequest {
  std::string id;
  std::string bundle;  // empty: the working directory
  std::string console_socket;
  std::string pidfd_socket;
  std::string pid_file;
  // The container outlives this process, so its terminal goes to the console socket.
  bool detach = true;
  std::string checkpoint;  // absolute directory that it goes on from; empty: it begins anew
};

struct Launched {
  State state;
  StandIn stand_in;
  bool terminal = false;
};

// Checks the bundle, boots the container's machine and creates the container in it. Everything is
// recorded and the stand-in released when this returns; after an error nothing is left.
//
// Errors  kInvalidArgument  the bundle or the request is wrong; nothing was started for it
//         kAlreadyExists    the container exists
Result<Launched> Launch(const Globals& globals, const LaunchRequest& request);

// Starts the created container.
Result<void> StartContainer(const Globals& globals, const State& state);

// The two in one, as `run` and `restore` do: unless it is detached, until the container has ended,
// whose status is returned, and who is deleted then unless `keep`.
Result<int> LaunchAndStart(const Globals& globals, const LaunchRequest& request, bool keep);

// Removes the container, whatever state it is in, and all that is known of it.
Result<void> DestroyContainer(const Globals& globals, StateDir& dir, const State& state);
// The same of one that nobody has locked. Success also where somebody else has deleted it.
Result<void> RemoveContainer(const Globals& globals, const State& state);

// Ends the daemon at `socket` and removes what is left of the sandbox.
Result<void> EndShim(const Globals& globals, const std::string& id, const std::string& directory,
                     const std::string& socket);

// Replaces the file with the process id, in decimal.
Result<void> WritePidFile(const std::string& path, pid_t pid);

}  // namespace kata::cli::oci
