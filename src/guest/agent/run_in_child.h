// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/run_in_child.h - work that blocks, in a process of its own; the agent does not.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/event_loop.h"

namespace kata::guest {

// Forks a child that does `work` and gives its result to `done`, on the loop's thread. The work
// must end by itself; its child processes are its own to wait for. Of the agent's descriptors it
// has those of `keep` alone: a pipe that it held would have no end as long as it works. A child
// that dies has failed with kInternal. At most 4 MiB come back.
//
// Errors  of the fork; then `done` is not called
Result<void> RunInChild(sys::EventLoop& loop, const std::function<Result<std::string>()>& work,
                        std::move_only_function<void(Result<std::string>)> done,
                        std::vector<int> keep = {});

}  // namespace kata::guest
