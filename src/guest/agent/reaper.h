// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/reaper.h - signals of the agent, and the ends of its children.
//
// As the first process the agent is the parent of every orphan of the guest. It waits for all
// children in one place; nothing else in it calls waitpid.
// Basis: signalfd(2), waitpid(2), pid_namespaces(7).
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::guest {

class Reaper {
 public:
  // For every child and adopted orphan, once, after it was reaped.
  using OnExit = std::function<void(pid_t pid, sys::ExitStatus status)>;
  // SIGTERM, SIGINT: somebody wants the agent to end.
  using OnStop = std::function<void()>;

  // Blocks SIGCHLD, SIGTERM and SIGINT for the process, ignores SIGPIPE and reads the blocked ones
  // on `loop`. One per process; undone by nothing.
  static Result<std::unique_ptr<Reaper>> Create(sys::EventLoop& loop, OnExit on_exit,
                                                OnStop on_stop);
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;
  ~Reaper();

 private:
  Reaper(sys::EventLoop& loop, sys::UniqueFd signals, OnExit on_exit, OnStop on_stop)
      : loop_(loop),
        signals_(std::move(signals)),
        on_exit_(std::move(on_exit)),
        on_stop_(std::move(on_stop)) {}
  void OnSignals();
  void ReapAll();

  sys::EventLoop& loop_;
  sys::UniqueFd signals_;
  OnExit on_exit_;
  OnStop on_stop_;
};

}  // namespace kata::guest
