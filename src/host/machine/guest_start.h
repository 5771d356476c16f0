// SPDX-License-Identifier: Apache-2.0
//
// host/machine/guest_start.h - the ways in which a guest begins.
//
// Each function returns a guest whose agent answers, or an error, and then nothing is left of it.
// All block, for pool threads. `stop` ends them soon, at whatever step: kCancelled.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "host/config/config.h"
#include "host/machine/guest.h"
#include "host/machine/machine_host.h"
#include "host/machine/record_keeper.h"
#include "host/machine/saved_guest.h"
#include "host/machine/vm_template.h"
#include "host/record/phases.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

// What a machine's guest is made with. What it makes on the host is recorded as it is made.
struct GuestSetting {
  sys::EventLoop& loop;
  const MachineHost& host;
  RecordKeeper& record;
  std::shared_ptr<const config::Config> config;
  std::string name;                              // the machine's, unique on the host
  std::string directory;                         // of the VM; may be missing yet
  std::string shared_directory;                  // that virtiofsd serves; empty: nothing is shared
  std::function<Result<void>(pid_t)> served_by;  // told of virtiofsd before the VMM starts
  std::string network;      // where the network namespace is bound; empty: a new one
  bool for_nobody = false;  // it is to wait: its NIC is the one of templates
  std::stop_token stop;
};

// What a start ends with that is no longer wanted: kCancelled.
std::unexpected<Error> Unwanted();
// Fails with that when `stop` has been asked for.
Result<void> CheckWanted(const std::stop_token& stop);

// The kernel and the agent start.
Result<std::unique_ptr<StartedGuest>> BootGuest(const GuestSetting& setting,
                                                std::unique_ptr<GuestNetwork> network,
                                                hypervisor::AcceleratorKind accelerator,
                                                const MachineSize& size, Phases& phases);
// `copy` goes on where its template was saved.
Result<std::unique_ptr<StartedGuest>> CopyGuest(const GuestSetting& setting,
                                                std::unique_ptr<GuestNetwork> network,
                                                hypervisor::AcceleratorKind accelerator,
                                                MemoryCopy copy, Phases& phases);
// One goes on where it was saved with containers in it, its network disconnected yet. They are
// frozen, and calls that wait in the guest are kept, until AgentClient::Thaw.
// Errors  kDataLoss         the snapshot is damaged
//         kInvalidArgument  a disk of it is missing in `saved`
Result<std::unique_ptr<StartedGuest>> RestoreGuest(const GuestSetting& setting,
                                                   std::unique_ptr<GuestNetwork> network,
                                                   SavedGuest saved, Phases& phases);
// One that has waited, in the network of `setting` now.
Result<std::unique_ptr<StartedGuest>> AdoptGuest(const GuestSetting& setting,
                                                 std::unique_ptr<StartedGuest> waiting,
                                                 Phases& phases);

// The network of `setting`, or none.
Result<std::unique_ptr<GuestNetwork>> OpenNetwork(const GuestSetting& setting);

// By a copy of the template where there is one that starts, else by boot. `template_wanted`: there
// is none yet, or it was damaged; it is to be built once the guest runs.
Result<std::unique_ptr<StartedGuest>> StartGuest(const GuestSetting& setting,
                                                 const MachineSize& size, Phases& phases,
                                                 bool* template_wanted);

// Ends the VM as soon as `stop` is asked for, while this object lives.
class StopWatch {
 public:
  StopWatch(const std::stop_token& stop, StartedGuest& guest)
      : callback_(stop, Killer{guest.processes.get()}) {}

 private:
  struct Killer {
    VmProcesses* processes;
    void operator()() const { processes->Kill(); }
  };
  std::stop_callback<Killer> callback_;
};

// Whether the guest has come through `steps`, which were all done while it was watched for `stop`.
// An error is completed by what is known of its end.
Result<void> CheckSteps(const GuestSetting& setting, const StartedGuest& guest, Result<void> steps);

}  // namespace kata::sandbox
