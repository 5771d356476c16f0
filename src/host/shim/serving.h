// SPDX-License-Identifier: Apache-2.0
//
// host/shim/serving.h - what a shim is made of, whether it begins as one or was warm before.
#pragma once

#include <memory>

#include "base/result.h"
#include "host/machine/machine.h"
#include "host/shim/daemon.h"
#include "host/shim/events.h"
#include "host/shim/task_service.h"
#include "sys/event_loop.h"
#include "sys/worker_pool.h"
#include "ttrpc/server.h"

namespace kata::shim {

// Memory, signals, the libraries' messages. Before any thread.
void PrepareProcess();

// Mounts made from here on are seen by this process and its children only, and are gone with them,
// however they end. What the host mounts later still arrives. Before any thread.
Result<void> EnterOwnMountNamespace();

// Runs the loop and ends the process.
[[noreturn]] void RunToTheEnd(sys::EventLoop& loop);

class Daemon {
 public:
  // On the loop's thread, or before it runs. `prepared` is a machine that waits, or none.
  Daemon(const DaemonArgs& args, sys::EventLoop& loop, std::unique_ptr<sandbox::Machine> prepared);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() = default;

  // Serves args.listen_fd from here on.
  Result<void> Begin();

  // Sends this process's log to where the bundle wants it.
  static void OpenLog(const DaemonArgs& args);

 private:
  const DaemonArgs args_;
  EventPublisher events_;
  sys::WorkerPool pool_;
  TaskService service_;
  ttrpc::Server server_;
};

}  // namespace kata::shim
