// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/shim.h - the shim program, as containerd uses it: `start`, the Task API, `delete`.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <google/protobuf/message_lite.h>

#include "base/deadline.h"
#include "base/result.h"
#include "host/cli/oci/command.h"
#include "host/cli/oci/state_dir.h"
#include "proto/task.pb.h"
#include "sys/event_loop.h"
#include "ttrpc/client.h"

namespace kata::cli::oci {

// Runs `start` with `directory` as the bundle, and returns the path of the socket that the daemon
// listens on.
Result<std::string> StartShim(const Globals& globals, const std::string& id,
                              const std::string& directory);

// Runs `delete`: removes what is left of the sandbox, whatever state it is in.
Result<void> CleanUpAfterShim(const Globals& globals, const std::string& id,
                              const std::string& directory);

// A connection to a daemon, with a thread of its own.
class Shim {
 public:
  // Long enough for a machine to boot on a slow host; the daemon's own deadlines are shorter.
  static constexpr auto kPatience = std::chrono::minutes(10);

  // Errors  kNotFound, kUnavailable  no daemon is there
  static Result<std::unique_ptr<Shim>> Connect(const std::string& socket);
  Shim(const Shim&) = delete;
  Shim& operator=(const Shim&) = delete;
  ~Shim();

  template <class Response>
  Result<Response> Call(std::string_view method, const google::protobuf::MessageLite& request,
                        Deadline deadline = Deadline::After(kPatience)) {
    return client_->Call<Response>("containerd.task.v2.Task", method, request, deadline);
  }

  // The same of our own service "kata.cpp.v1.Sandbox".
  template <class Response>
  Result<Response> CallSandbox(std::string_view method,
                               const google::protobuf::MessageLite& request) {
    return client_->Call<Response>("kata.cpp.v1.Sandbox", method, request,
                                   Deadline::After(kPatience));
  }

  // How the container's first process is.
  Result<task::StateResponse> State(const std::string& id);
  Result<void> Kill(const std::string& id, uint32_t signal, bool all);
  // Waits until the container's first process has ended.
  Result<uint32_t> Wait(const std::string& id, Deadline deadline);
  // Asks the daemon to end, and waits until it has.
  Result<void> Shutdown(const std::string& id, Deadline deadline);

 private:
  Shim() = default;

  std::unique_ptr<sys::EventLoop> loop_;
  std::unique_ptr<ttrpc::Client> client_;
  std::thread thread_;
};

// Whether the error says that nobody serves the container any more.
bool ShimIsGone(const Error& error);

// The word for a container's state: created, running, paused or stopped.
Result<std::string> StatusOf(const State& state);

}  // namespace kata::cli::oci
