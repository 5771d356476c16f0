// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/freezer.h - holds all containers still while the machine is saved.
//
//   kThawed ─Freeze─> kFreezing ─all stand still─> kFrozen ─Renewed, Thaw─> kThawed
//                         └──────deadline, Thaw──────────────────────────────┘
//
// Processes stand still by their cgroups, and no call waits for anything: the answer to Freeze is
// the barrier after which the guest says nothing that a client could miss. Fails closed: what was
// frozen is not thawed before the guest was made its own again (random numbers, clock, name).
// The loop's thread only.
// Basis: cgroup-v2.rst, cgroup.freeze.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "guest/agent/container_table.h"
#include "guest/agent/waiting_calls.h"
#include "sys/event_loop.h"

namespace kata::guest {

class Freezer {
 public:
  using Done = std::move_only_function<void(Result<void>)>;
  // Calls that are open now, the one that asks for it included.
  using OpenCalls = std::function<size_t()>;

  Freezer(sys::EventLoop& loop, ContainerTable& containers, WaitingCalls& waiting)
      : loop_(loop), containers_(containers), waiting_(waiting) {}
  Freezer(const Freezer&) = delete;
  Freezer& operator=(const Freezer&) = delete;

  // Lets calls that have work to do come to their end, freezes every container, answers all calls
  // that wait, and then `done`. After an error nothing is frozen.
  // Errors  kFailedPrecondition  it is frozen, or being frozen
  //         kDeadlineExceeded    names what did not come to rest
  //         kAborted             Thaw() came first
  void Freeze(OpenCalls open_calls, Deadline deadline, Done done);
  // Lets all go on but those that were paused before. Fine where nothing is frozen.
  // Errors  kFailedPrecondition  Renewed() has not been called since the freeze
  Result<void> Thaw();
  // The guest was made its own.
  void Renewed() { renewed_ = true; }

  // For calls that change what runs: kFailedPrecondition unless all is thawed.
  Result<void> CheckThawed() const;

 private:
  enum class State { kThawed, kFreezing, kFrozen };
  struct Attempt;

  void Continue(std::shared_ptr<Attempt> attempt);
  // Whether all has come to rest; else `attempt` knows what has not.
  Result<bool> Settle(Attempt& attempt);
  size_t WaitingInputs() const;
  void AnswerInputs();
  void End(std::shared_ptr<Attempt> attempt, Result<void> result);
  Result<void> ThawAll();

  sys::EventLoop& loop_;
  ContainerTable& containers_;
  WaitingCalls& waiting_;
  State state_ = State::kThawed;
  bool renewed_ = false;
  std::shared_ptr<Attempt> attempt_;  // while kFreezing
};

}  // namespace kata::guest
