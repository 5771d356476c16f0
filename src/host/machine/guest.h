// SPDX-License-Identifier: Apache-2.0
//
// host/machine/guest.h - a guest: one VM with all that serves it, as a value.
//
//   BootGuest, CopyGuest, or one that waits and AdoptGuest      its agent answers: StartedGuest
//        │                                                      (guest_start.h)
//        └── Machine::Boot: the sandbox exists in it, its network is connected, it has grown: Guest
//
// Whoever has half of one undoes it by letting go. A Guest does not change any more but for its
// end, and is handed out shared.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"
#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/hypervisor/hypervisor.h"
#include "host/machine/guest_network.h"
#include "host/machine/vm_processes.h"
#include "host/machine/volume_copy.h"
#include "host/record/phases.h"
#include "host/record/size_report.h"

namespace kata::sandbox {

// A VM whose agent answers, without a sandbox in it. The destructor blocks, as Stop() does.
struct StartedGuest {
  StartedGuest() = default;
  StartedGuest(const StartedGuest&) = delete;
  StartedGuest& operator=(const StartedGuest&) = delete;
  ~StartedGuest() { Stop(); }

  // Ends the VM, then its network. Not on the loop's thread. Idempotent; one thread at a time.
  void Stop();

  std::string origin;       // boot, template, warm or snapshot
  unsigned first_disk = 0;  // the number of the first that is added to it
  hypervisor::AcceleratorKind accelerator = hypervisor::AcceleratorKind::kTcg;
  MachineSize began_with;                  // what it has had from its first moment
  MachineSize has;                         // with what it had been given when it was saved
  std::shared_ptr<GuestNetwork> network;   // null: it has none
  std::unique_ptr<VmProcesses> processes;  // VMM, virtiofsd and the agent's client
};

// Safe from every thread.
class Guest {
 public:
  // `phases`: where the time of its start went.
  Guest(std::unique_ptr<StartedGuest> started, std::vector<Phase> phases)
      : started_(std::move(started)),
        phases_(std::move(phases)),
        disks_(started_->first_disk),
        network_(std::move(started_->network)) {}
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() { Stop(); }

  // They can be used as long as they are held: once the VM has ended, every call fails.
  const std::shared_ptr<hypervisor::Hypervisor>& vm() const { return started_->processes->vm(); }
  const std::shared_ptr<agent::AgentClient>& agent() const { return started_->processes->agent(); }

  const std::string& origin() const { return started_->origin; }
  const std::vector<Phase>& phases() const { return phases_; }
  // Of the VMM.
  pid_t pid() const { return vm()->pid(); }

  // False once the VM has ended, or Stop() was called.
  bool alive() const { return started_->processes->alive(); }
  // As VmProcesses has them.
  VmProcesses& processes() const { return *started_->processes; }

  // Makes its network what the namespace has now, once those before have come to an end, or the
  // deadline has passed. Does nothing when that has not changed.
  Result<void> SyncNetwork(Deadline deadline) const KATA_EXCLUDES(mutex_);
  // As GuestNetwork::ShareLoopback.
  void ShareLoopback() const KATA_EXCLUDES(mutex_);
  // Sends `copy` unless it has one of this path, which is waited for.
  Result<void> CopyOnce(const VolumeCopy& copy) const { return copies_.SendOnce(copy, *agent()); }
  // For the next disk: kDiskPrefix and a number.
  std::string NextDiskId() const;
  static constexpr std::string_view kDiskPrefix = "disk";

  // As StartedGuest.
  void Stop() KATA_EXCLUDES(mutex_);

 private:
  const std::unique_ptr<StartedGuest> started_;
  const std::vector<Phase> phases_;
  mutable VolumeCopies copies_;
  mutable std::atomic<unsigned> disks_;  // the number of the next one

  std::shared_ptr<GuestNetwork> network() const KATA_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  std::shared_ptr<GuestNetwork> network_ KATA_GUARDED_BY(mutex_);  // until its end
};

}  // namespace kata::sandbox
