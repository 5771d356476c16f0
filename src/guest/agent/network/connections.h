// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/connections.h - TCP connections of processes in a copy of a guest.
//
// Who is at their other end talks with the saved guest, or has long since given up. He must hear
// nothing of the copy, and nobody in the copy shall wait for him: such connections end at once, as
// aborted ones do (ECONNABORTED).
// Basis: pidfd_getfd(2), tcp(7) TCP_REPAIR, in which a socket says nothing when it is disconnected.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

#include "base/result.h"

namespace kata::guest {

enum class Abort {
  kAll,    // but those of the loopback
  kStale,  // those whose own address no interface has
};

// Ends connections of processes that stand still, those included that were not accepted yet; how
// many. Sockets that are in messages between processes are not found. Of the network namespace of
// this process.
// Errors  what a socket could not be asked; others have been ended
Result<size_t> AbortConnections(const std::vector<pid_t>& pids, Abort which);

}  // namespace kata::guest
