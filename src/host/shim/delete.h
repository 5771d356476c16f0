// SPDX-License-Identifier: Apache-2.0
//
// host/shim/delete.h - the action `delete`: containerd has lost the shim, or is done with it.
#pragma once

#include <string>

#include "base/deadline.h"
#include "host/record/cleanup.h"
#include "host/shim/command_line.h"
#include "proto/task.pb.h"

namespace kata::shim {

// What Delete() is told about its host; tests have a host of their own.
struct DeleteHost {
  sandbox::CleanupRoots roots;
  std::string socket_dir;             // empty: kDefaultSocketDir
  std::string vm_dir = "/run/vc/vm";  // <vm_dir>/<sandbox id>
  std::string share_dir = "/run/kata-containers/shared/sandboxes";
  // How long a shim that still runs may take to end by itself.
  Deadline::Clock::duration grace = std::chrono::seconds(1);
  // For everything together. containerd gives `delete` five seconds.
  Deadline::Clock::duration budget = std::chrono::milliseconds(4500);
};

// Kills what is left of the sandbox of container `line.id` and removes what it made, out of its
// record; without a record, from the places where sandboxes put things. Repeatable; nothing left to
// do is success. What cannot be removed is logged.
//
// A container that is not its pod's first leaves a pod whose shim still runs alone, and so does a
// container whose namesake in another of containerd's namespaces made the record.
//
// Returns what containerd is to report of the container's end: exit status 137, now.
task::DeleteResponse Delete(const CommandLine& line, const DeleteHost& host = {});

// The action as a whole: the response on stdout, the log on stderr. Returns the exit code.
int RunDelete(const CommandLine& line);

}  // namespace kata::shim
