// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/process.h - one process of a container, as its callers see it.
//
//   kCreating ─Created─> kCreated ─BeginStart─> kStarting ─Started─> kRunning ─Exited─> kStopped
//                            │  └──────FailStart────┘                                      │
//                            └───────────────BeginDelete───────────> kDeleted <────────────┘
//
// A process may end in kCreated as well (its machine has ended). An exit that comes in kCreating or
// kStarting waits for the end of that state, so that nobody hears of the end before the beginning.
//
// Safe from every thread. What is announced (Created, Started, Deleted, SetReport) is called under
// the process's lock, so that announcements come in the order of the states: it must not block, nor
// call back. Callbacks given to OnExit run once, in their order, without a lock, on the thread that
// tells the exit, or at once when it has been told already.
#pragma once

#include <signal.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"
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

enum class ProcessState { kCreating, kCreated, kStarting, kRunning, kStopped, kDeleted };

class Process {
 public:
  using ExitCallback = std::move_only_function<void(const ExitInfo&)>;
  using Announce = std::function<void()>;

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
  oci::Process spec() const KATA_EXCLUDES(mutex_);
  // The terminal's size at the start of an exec, in characters.
  void SetConsoleSize(uint32_t rows, uint32_t columns) KATA_EXCLUDES(mutex_);

  // Hears of the exit first of all, but not of an exec's that is deleted before it has run. Before
  // Created.
  void SetReport(std::function<void(const ExitInfo&)> report) KATA_EXCLUDES(mutex_);

  ProcessState state() const KATA_EXCLUDES(mutex_);
  // Whether the exit has been told, or never will be asked for.
  bool ended() const KATA_EXCLUDES(mutex_);
  // The exit; a default one before it was told.
  ExitInfo exit() const KATA_EXCLUDES(mutex_);

  // It is there, and may be started.
  void Created(const Announce& announce) KATA_EXCLUDES(mutex_);
  // Takes the right to start the process; a second caller is refused.
  // Errors  kFailedPrecondition  it was started, or has ended
  Result<void> BeginStart() KATA_EXCLUDES(mutex_);
  // The start failed: it may be tried again.
  void FailStart() KATA_EXCLUDES(mutex_);
  // The start succeeded. False where the process has been deleted with its container meanwhile:
  // nothing was announced.
  [[nodiscard]] bool Started(const Announce& announce) KATA_EXCLUDES(mutex_);
  // While a creation or start is under way: keeps `callback`, which is called when that has come to
  // its end, by whoever ends it, without a lock. Else false, and nothing is kept.
  [[nodiscard]] bool Defer(std::function<void()> callback) KATA_EXCLUDES(mutex_);
  // How the process has ended, which nobody is to hear of yet: its output is still on its way.
  void KnowExit(ExitInfo exit) KATA_EXCLUDES(mutex_);
  // Tells the exit: the one that was known before, else this one. Changes nothing when that has
  // been told already.
  void Exited(ExitInfo exit) KATA_EXCLUDES(mutex_);

  // Takes the right to delete the process, when a start that is under way has come to its end. Who
  // has it calls Deleted().
  // Errors  kFailedPrecondition  it runs
  //         kNotFound            another caller deletes it
  Result<void> BeginDelete() KATA_EXCLUDES(mutex_);
  // The deletion has been done.
  void Deleted(const Announce& announce) KATA_EXCLUDES(mutex_);
  // Its container is deleted, and it with that, whatever it does. Tells `exit` if none was told.
  // Returns when a deletion of its own that was begun before has been done.
  void DeleteWithContainer(ExitInfo exit) KATA_EXCLUDES(mutex_);

  void OnExit(ExitCallback callback) KATA_EXCLUDES(mutex_);

 private:
  const std::string exec_id_;
  const StdioRequest stdio_;
  const std::shared_ptr<ProcessIo> io_;

  bool busy() const KATA_REQUIRES(mutex_) {
    return state_ == ProcessState::kCreating || state_ == ProcessState::kStarting;
  }
  // What is to be called after a change of the state.
  struct Due {
    std::vector<ExitCallback> of_exit;
    std::vector<std::function<void()>> deferred;
  };
  // Leaves a busy state, for which an exit and what was deferred may have waited.
  Due Enter(ProcessState state) KATA_REQUIRES(mutex_);
  std::vector<ExitCallback> Tell(ExitInfo exit) KATA_REQUIRES(mutex_);
  void Call(Due due) KATA_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar idle_;  // no longer busy(), or deleting_
  ProcessState state_ KATA_GUARDED_BY(mutex_) = ProcessState::kCreating;
  bool deleting_ KATA_GUARDED_BY(mutex_) = false;  // from BeginDelete to Deleted
  oci::Process spec_ KATA_GUARDED_BY(mutex_);
  std::function<void(const ExitInfo&)> report_ KATA_GUARDED_BY(mutex_);
  std::optional<ExitInfo> known_exit_ KATA_GUARDED_BY(mutex_);
  std::optional<ExitInfo> held_exit_ KATA_GUARDED_BY(mutex_);  // came while busy()
  std::optional<ExitInfo> exit_ KATA_GUARDED_BY(mutex_);       // that was told
  std::vector<ExitCallback> callbacks_ KATA_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> deferred_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
