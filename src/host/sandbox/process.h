// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/process.h - one process of a container, as its callers see it.
//
//   kCreated ──ClaimStart, Started──> kRunning ──Exited──> kStopped
//       └──────────────────────Exited────────────────────────┘
//
// An exit that comes while a start is under way waits until the start has been announced, so that
// nobody hears of the end before the beginning.
//
// Safe from every thread. Callbacks given to OnExit run once, in their order, on the thread that
// calls Exited or Started, or at once when the process has ended already.
#pragma once

#include <signal.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "host/sandbox/process_io.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// How a process ended: 0 to 255, 128 + signal for a signal's victim.
struct ExitInfo {
  uint32_t status = 0;
  std::chrono::system_clock::time_point at;
};

// The status of who was ended with its container or machine.
inline constexpr uint32_t kKilled = 128 + SIGKILL;

enum class ProcessState { kCreated, kRunning, kStopped };

class Process {
 public:
  using ExitCallback = std::move_only_function<void(const ExitInfo&)>;

  // `exec_id` is empty for a container's first process.
  // `spec` is needed for execs only.
  Process(std::string exec_id, StdioRequest stdio, std::shared_ptr<ProcessIo> io,
          oci::Process spec = {})
      : exec_id_(std::move(exec_id)),
        stdio_(std::move(stdio)),
        io_(std::move(io)),
        spec_(std::move(spec)) {}

  const std::string& exec_id() const { return exec_id_; }
  const StdioRequest& stdio() const { return stdio_; }
  ProcessIo& io() { return *io_; }
  oci::Process spec() const;
  // The terminal's size at the start of an exec, in characters.
  void SetConsoleSize(uint32_t rows, uint32_t columns);

  ProcessState state() const;
  // The exit, once the state is kStopped.
  ExitInfo exit() const;

  // Takes the right to start the process; a second caller is refused.
  // Errors  kFailedPrecondition  it was started, or has ended
  Result<void> ClaimStart();
  // The start failed: it may be tried again.
  void ReturnStart();
  // The start succeeded; `announce` is called before anybody can hear of the exit.
  void Started(const std::function<void()>& announce);
  // How the process has ended, which nobody is to hear of yet: its output is still on its way.
  void KnowExit(ExitInfo exit);
  // Tells the exit: the one that was known before, else this one. Changes nothing when that has
  // been told already.
  void Exited(ExitInfo exit);

  void OnExit(ExitCallback callback);

 private:
  const std::string exec_id_;
  const StdioRequest stdio_;
  const std::shared_ptr<ProcessIo> io_;

  void EndStart();

  mutable std::mutex mutex_;  // guards what follows
  oci::Process spec_;
  ProcessState state_ = ProcessState::kCreated;
  bool starting_ = false;
  std::optional<ExitInfo> known_exit_;
  std::optional<ExitInfo> early_exit_;  // came while starting_
  ExitInfo exit_;
  std::vector<ExitCallback> callbacks_;
};

}  // namespace kata::sandbox
