// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/pod_life.h - the life of a pod that containerd's sandbox API makes, as one that asks
// for it sees it. A sandbox whose first container boots the machine has none.
//
//   none ─Create─> created ─Start─> starting ──> ready ──┐ Stop
//                     │                 │          │ the machine ends by itself
//                     │                 └──────────┴──> ended ─Stop─┐
//                     └───────────────Stop──────────────────────────┴─> stopping ──> stopped
//
// Who waits for its exit hears of it when the pod leaves `ready`, once and whatever the reason.
// Safe from every thread. No lock is held while anything else is done.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/sandbox/process.h"

namespace kata::sandbox {

class PodLife {
 public:
  enum class State { kNone, kCreating, kCreated, kStarting, kReady, kEnded, kStopping, kStopped };

  struct View {
    State state = State::kNone;
    std::chrono::system_clock::time_point created_at = {};  // of its start, once that has succeeded
    std::optional<ExitInfo> exit = std::nullopt;
  };

  using ExitCallback = std::move_only_function<void(const ExitInfo&)>;

  // Errors  kAlreadyExists  whatever has become of that one
  Result<void> BeginCreate() KATA_EXCLUDES(mutex_);
  // Else it may be tried again.
  void CreateDone(bool created) KATA_EXCLUDES(mutex_);
  // Errors  kFailedPrecondition  it was not created, or was started or stopped before
  Result<void> BeginStart() KATA_EXCLUDES(mutex_);
  // False where all has been stopped meanwhile.
  [[nodiscard]] bool Started() KATA_EXCLUDES(mutex_);
  void StartFailed() KATA_EXCLUDES(mutex_);
  // The machine has ended, and nobody has asked for that.
  void MachineEnded() KATA_EXCLUDES(mutex_);
  // Takes the duty to stop it, for one caller; false, once that has been done, for all others.
  // While it is starting, `abort` is called, which has that come to an end soon.
  // Errors  kNotFound  nothing was created
  Result<bool> BeginStop(const std::function<void()>& abort) KATA_EXCLUDES(mutex_);
  // From whichever state.
  void Stopped() KATA_EXCLUDES(mutex_);

  // Errors  kNotFound  nothing was created
  Result<void> OnExit(ExitCallback callback) KATA_EXCLUDES(mutex_);
  View view() const KATA_EXCLUDES(mutex_);

 private:
  // From `from` to `to`, if it is there; its exit has `status`, where it has had none.
  void End(const std::function<bool(State)>& from, State to, uint32_t status) KATA_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;  // state_
  State state_ KATA_GUARDED_BY(mutex_) = State::kNone;
  std::chrono::system_clock::time_point created_at_ KATA_GUARDED_BY(mutex_);
  std::optional<ExitInfo> exit_ KATA_GUARDED_BY(mutex_);
  std::vector<ExitCallback> callbacks_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
