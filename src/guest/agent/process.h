// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/process.h - one process that the host knows by name: the first of a container, or
// one executed into it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/container/container.h"
#include "guest/agent/stream.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::guest {

// A process's three streams before it is forked: its own ends, and the agent's (invalid with a
// terminal, whose master comes with the report).
struct StdioPair {
  ProcessStdio child;
  sys::UniqueFd in;
  sys::UniqueFd out;
  sys::UniqueFd err;
};

// As `process` wants them. `pipe_size` in bytes; 0 leaves the kernel's.
Result<StdioPair> MakeStdio(const oci::Process& process, size_t pipe_size);

// Launching, then ready (set up, not started), running, exited; a launch may fail instead.
//
// Owned by shared_ptr, because a callback may remove the process from its table. Everything happens
// on the loop's thread.
class Process : public std::enable_shared_from_this<Process> {
 public:
  using Done = std::move_only_function<void(Result<void>)>;
  using OnExited = std::move_only_function<void(sys::ExitStatus)>;

  // `id` is the exec's; empty for a container's first process. Takes the agent's ends of `stdio`.
  Process(sys::EventLoop& loop, std::string id, StdioPair& stdio);
  ~Process();

  const std::string& id() const { return id_; }
  pid_t pid() const { return pid_; }
  bool started() const { return state_ == State::kRunning; }
  bool exited() const { return exit_.has_value(); }
  const std::optional<sys::ExitStatus>& exit_status() const { return exit_; }

  // Follows a forked child. One that has not come as far as the milestone waited for within
  // `timeout` is killed, and the wait fails with kDeadlineExceeded.
  void Follow(PendingProcess pending, std::chrono::milliseconds timeout);
  // The terminal's size from its beginning; zeroes leave it alone. Before the terminal is there.
  void set_initial_size(uint32_t rows, uint32_t columns) {
    initial_rows_ = rows;
    initial_columns_ = columns;
  }
  // Calls `done` when the child is set up, or with the reason why it never will be.
  void WhenReady(Done done);
  // Calls `done` when the child executes its program, or with the reason why it never will.
  void WhenRunning(Done done);
  // Lets a ready process execute its program.
  // Errors  kFailedPrecondition  it was started before, or has ended
  void Start(Done done);

  // The reaper's news.
  void HasExited(sys::ExitStatus status);
  void WhenExited(OnExited callback);

  // Errors  kNotFound  the process has ended
  Result<void> Signal(int signal) const;
  // Errors  kFailedPrecondition  it has no terminal
  //         kInvalidArgument     more than 65535 rows or columns
  Result<void> Resize(uint32_t rows, uint32_t columns) const;

  InputStream& in() { return *in_; }
  OutputStream& out() { return *out_; }
  OutputStream& err() { return *err_; }
  bool OutputAtEnd() const { return out_->at_end() && err_->at_end(); }
  // Ends all streams, whoever still holds their other ends.
  void AbandonStreams();

  // Somebody was told the exit status: calls that name the process no longer find it, except those
  // that read what it left.
  bool collected = false;

 private:
  enum class State { kLaunching, kReady, kRunning, kFailed };

  void OnReport();
  Result<void> TakeTerminal(sys::UniqueFd master);
  void Settle(std::vector<Done>& waiters, const Result<void>& outcome);
  void FailLaunch(Error error);
  void StopReport();
  void ArmTimeout();

  sys::EventLoop& loop_;
  const std::string id_;
  pid_t pid_ = -1;
  State state_ = State::kLaunching;
  std::optional<Error> launch_error_;
  std::optional<sys::ExitStatus> exit_;
  sys::UniqueFd report_;
  sys::UniqueFd start_;
  sys::UniqueFd terminal_;
  uint32_t initial_rows_ = 0;
  uint32_t initial_columns_ = 0;
  std::unique_ptr<InputStream> in_;
  std::unique_ptr<OutputStream> out_;
  std::unique_ptr<OutputStream> err_;
  std::vector<Done> ready_waiters_;
  std::vector<Done> running_waiters_;
  std::vector<OnExited> exit_waiters_;
  std::chrono::milliseconds timeout_{0};
  std::optional<sys::EventLoop::TimerId> timer_;
};

}  // namespace kata::guest
