// SPDX-License-Identifier: Apache-2.0
//
// host/shim/start.h - the action `start`: make the sandbox's daemon, or find it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "host/shim/command_line.h"
#include "host/shim/daemon.h"

namespace kata::shim {

// Makes a daemon that listens on the sandbox's socket, or finds the one that does, and hands
// `deliver` what containerd wants to read on stdout, byte for byte.
//
// The daemon is this same program in a session of its own (see DaemonArgs). It need not be ready:
// the socket listens already, so callers wait in its backlog. The bundle gets the files `address`
// and, for a new daemon, `shim.pid`. After an error, one of `deliver` included, nothing is left
// behind.
//
// input    what stdin held
// deliver  called once, after everything else has succeeded
//
// Errors  kInvalidArgument     flags, stdin or config.json are wrong
//         kFailedPrecondition  the container belongs to a pod whose daemon does not run
Result<void> Start(const CommandLine& line, const std::string& input,
                   std::move_only_function<Result<void>(std::string_view answer)> deliver);

// The action `start` as a whole: reads stdin, prints the answer. Prints nothing on stderr when it
// succeeds: containerd takes that for a part of the address.
// Returns the exit code.
int RunStart(const CommandLine& line);

// The words that Start() gives to the daemon, beginning with the program's name, and their way
// back.
DaemonArgs MakeDaemonArgs(const CommandLine& line);

}  // namespace kata::shim
