// SPDX-License-Identifier: Apache-2.0
//
// host/machine/machine.h - a sandbox's virtual machine with all that serves it: the shared
// directory, virtiofsd, the VMM and the connection to the agent.
//
// Everything made on the host is written into the sandbox's record before or as it is made.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/config/load.h"
#include "host/hypervisor/hypervisor.h"
#include "host/machine/guest_network.h"
#include "host/machine/host_cgroup.h"
#include "host/machine/machine_host.h"
#include "host/machine/vm_template.h"
#include "host/machine/volume_copy.h"
#include "host/plan/vm_plan.h"
#include "host/record/phases.h"
#include "host/record/record.h"
#include "host/storage/share.h"
#include "host/storage/virtiofsd.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

// What there is of a machine.
//
//              Open              Boot                          the VM ends
//   kNone ─────────────> kOpen ─────────> kBooting ──> kRunning ─────────> kLost
//     │ Prepare            │ Open
//     └─> kPreparing ──> kWaiting   with the guest that has waited
//
//   Stop: from all of them over kEnding to kNone. Abort: to kEnding, for Stop to follow.
enum class MachineState {
  kNone,       // nothing on the host
  kPreparing,  // is being started for nobody yet
  kWaiting,    // is there for nobody yet
  kOpen,       // record and shared directory; where it has waited, a guest
  kBooting,
  kRunning,
  kLost,    // the VM has ended by itself; the rest is there
  kEnding,  // no longer wanted; what there is goes
};

class Machine {
 public:
  // Whose the machine is. Its calls come on the loop's thread.
  struct Identity {
    std::string sandbox_id;
    // The shim's socket: two containerd namespaces may use one id, but not at a time.
    std::string owner;
    // Called once when the machine has ended, whoever ended it, unless that was Stop().
    std::function<void()> on_end;
    // Called when the network namespace has changed: SyncNetwork() is to follow, on another thread.
    std::function<void()> on_network;
  };

  // `name` is that of the machine's directories, unique on the host.
  Machine(std::string name, sys::EventLoop& loop, MachineHost host = ThisHost());
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  // Once, before Open; on the loop's thread after Prepare.
  void Identify(Identity identity);

  // Starts the machine before anybody asks for it, and rehearses a container, so that all that one
  // needs is warm. Its end before Identify calls `on_end`. Then Open and Boot make it somebody's,
  // or, where it does not fit what they ask for, begin anew.
  Result<void> Prepare(const config::Loaded& config, std::function<void()> on_end);
  // In place of a cgroup that UseCgroup names: those that a prepared machine is to move to.
  void UseCgroupsOf(std::vector<std::string> directories) { home_ = std::move(directories); }

  // Of this process and a prepared machine's, as the kernel weighs them when memory runs out.
  void SetOomScore(int score) const;

  // The host's cgroup for the next Boot, as HostCgroupPath gives it. Where it cannot be had, the
  // machine runs where the shim was started.
  void UseCgroup(std::string path) { cgroup_path_ = std::move(path); }

  // Writes the record and makes the shared directory, so that files can be mounted, and mistakes in
  // them found, before anything boots. Stop() undoes it. What is open already stays as it is.
  // Errors  kAlreadyExists  a sandbox of this id lives in another namespace
  //         kNotFound       a file that a machine needs is missing
  Result<void> Open(const config::Loaded& config);
  // Once open, starts everything and returns when the agent serves and the sandbox exists in the
  // guest. After a failure nothing is left, and Open and Boot may be tried again. The guest has the
  // interfaces of the network namespace bound at `network`, or of a new one where that is empty;
  // the VMM lives there, or, if the machine was prepared, in one of its own. `containers`: as Grow.
  Result<void> Boot(const MachineSize& containers, const agent::CreateSandboxRequest& sandbox,
                    const std::string& network);
  bool is_open() const;
  // Boot has succeeded; the VM may have ended since then.
  bool booted() const;
  // Whether a VM is there, or is being started. False once it has ended or is being stopped.
  bool alive() const;

  // Returns when all that Boot has begun has happened: the move to the host's cgroup takes its
  // time.
  void AwaitBoot() { FinishMove(); }

  // Null before the first Boot. They can be used as long as they are held: once the machine has
  // ended, every call fails.
  std::shared_ptr<agent::AgentClient> agent() const;
  std::shared_ptr<hypervisor::Hypervisor> vm() const;
  // Runs `work` on the shared directory, one at a time. kUnavailable once the machine was stopped.
  template <class Work>
  auto WithShare(Work work) -> decltype(work(std::declval<storage::SharedDirectory&>())) {
    const std::lock_guard lock(share_mutex_);
    if (!share_) return Fail(Code::kUnavailable, "the sandbox has ended");
    return work(*share_);
  }
  // Once open.
  const config::Config& config() const { return config_.config; }
  // Whether directories of the host can be shown to the guest. Else root file systems are disks,
  // and volumes are copied.
  bool shares_files() const { return config().hypervisor.shares_files(); }
  // For the next disk of this machine.
  std::string NextDiskId();
  // Sends `copy` to the guest unless it has one of this path, which is waited for. Only while
  // booted().
  Result<void> CopyOnce(const VolumeCopy& copy);
  // The directory of the sandboxes' records.
  const std::string& records() const { return host_.roots.records; }
  // Of the VMM; 0 before it was started.
  int pid() const { return pid_; }

  // An error of a call to the guest, completed by what the machine knows: how it ended, or the last
  // lines of its console when the guest did not answer. Connections break a moment before the end
  // is known, which is waited for; not on the loop's thread.
  Error Explain(Error error) const;

  // How the machine began and where the time went. Once booted.
  const std::string& origin() const { return origin_; }
  const std::vector<Phase>& boot_phases() const { return boot_phases_; }

  // Adds a process to the record.
  void Record(pid_t pid, ProcessRole role);
  // Takes one that has ended out of it.
  void ForgetEnded(pid_t pid);
  void RecordContainer(const std::string& container_id);
  void ForgetContainer(const std::string& container_id);

  // Gives the machine the processors and memory that its containers' limits, `containers` in all,
  // ask for beyond its own, as far as it goes, and waits until the guest has them in use. A machine
  // that cannot grow still works: the sandbox's size report says what was reached and why it is not
  // more (size_report.h), and so does the log.
  void Grow(const MachineSize& containers);
  // The same for a caller who asks for more than `containers` were: where that is more memory than
  // the machine can have, the report is as before, though the machine may have grown on the way.
  // Errors  kResourceExhausted  it lacks more of what is asked for than before
  Result<void> GrowOrRefuse(const MachineSize& containers);
  // The report alone, when a container has gone: a machine does not shrink.
  void Ask(const MachineSize& containers);

  // Makes the guest's network what the namespace has now. Does nothing when that has not changed.
  Result<void> SyncNetwork();

  // Whether what containers have written may still be in the guest alone when they have ended: on
  // disks, or where virtiofs holds writes back. Else the machine can end at any time.
  bool HoldsWrites() const;

  // Kills the VMM and no more: `on_end` follows. From any thread, does not block.
  void Kill();
  // Nobody wants the machine any more: kills the VMM, and has a Boot that is under way fail soon.
  // Stop() is to follow; `on_end` is not called. From any thread, does not block.
  void Abort();
  // Ends the machine and removes all that it made. Blocks; not on the loop's thread. Idempotent.
  void Stop();

 private:
  // Until the agent answers; by a copy of the template where there is one.
  Result<void> StartGuest(const MachineSize& size, Phases& phases);
  Result<void> EnterSandbox(const MachineSize& containers,
                            const agent::CreateSandboxRequest& sandbox, Phases& phases);
  // All four under grow_mutex_. GrowTo gives the reason why the machine falls short of `wanted`,
  // or nothing.
  void GrowFor(const MachineSize& containers);
  std::string GrowTo(const MachineSize& wanted);
  void ReportSize(const MachineSize& containers, std::string reason);
  void Publish(SizeReport report);
  // What a machine must have in common with a prepared one to take its place.
  Result<std::string> PreparedKey(const config::Config& config);
  void DropPrepared();
  // Whether a machine of `has` processors that runs can be given `wanted`.
  // Errors  kFailedPrecondition  not with this kernel, with the remedy
  Result<void> CheckCpuHotplug(uint32_t has, uint32_t wanted) const;
  Result<void> TakePrepared(const MachineSize& containers,
                            const agent::CreateSandboxRequest& sandbox, const std::string& network);
  std::vector<pid_t> PartPids() const;
  Result<void> StartVm(const MachineSize& size, Deadline deadline, Phases& phases);
  // The same from `copy`, with the template's size.
  Result<void> StartCopy(MemoryCopy copy, Deadline deadline, Phases& phases);
  // One of both as far as they are the same: virtiofsd, the VMM, its NICs.
  Result<void> StartVmm(hypervisor::VmSpec spec, Deadline deadline, Phases& phases);
  Result<void> StartVirtiofsd(Deadline deadline);
  hypervisor::VhostUserFs Share();
  // After a copy that did not start, as before it.
  void UndoStart();
  // A copy of the template, or none: there is none yet, or it is damaged and will be made anew.
  std::optional<MemoryCopy> FindTemplate();
  void BuildTemplate();
  GuestNetwork::Save NetworkSaver();
  Result<void> AddNics(hypervisor::VmSpec* spec);
  Result<void> ConnectAgent(Deadline deadline, uint32_t first_stream);
  void WatchVirtiofsd();
  void StopVirtiofsd();
  void CloseNetwork();
  std::string VmDirectory() const { return host_.vm_root + "/" + name_; }
  // On the loop's thread: what serves the VMM has gone, perhaps because the VMM has. It gets a
  // moment to say why before it is killed.
  void KillSoon();
  void OnVmExit(const hypervisor::VmExit& exit);
  // From the first state to the second one.
  // Errors  kUnavailable  the VM has ended meanwhile, or all of the machine
  //         kCancelled    the machine is in another state: it is no longer wanted
  Result<void> Advance(MachineState from, MachineState to);
  // Whether a start may go on. Errors  kCancelled  the machine is no longer wanted
  Result<void> CheckStarting() const;
  MachineState state() const;
  void SetState(MachineState state);
  Result<void> MakeShare();
  // Keeps others from beginning or looking at a record, once an earlier shim of this very sandbox
  // has gone: what it removes late would be ours.
  // Errors  kUnavailable  it does not go
  Result<sys::UniqueFd> LockOwnRecord();
  // Refuses an id that lives elsewhere, removes what a dead sandbox of this id left.
  Result<void> CheckRecord();
  Result<void> BeginRecord();
  Result<void> TakeRecord();
  Result<void> EnterCgroup();
  // The part of it that a prepared machine does while its guest works, and its end.
  Result<void> MoveToCgroup(const std::vector<pid_t>& others);
  void FinishMove();
  Result<void> Save();

  const MachineHost host_;
  std::string name_;
  Identity identity_;
  sys::EventLoop& loop_;

  std::string prepared_;  // the key of what was prepared and is not taken yet
  std::string cgroup_path_;
  std::vector<std::string> home_;
  std::optional<HostCgroup> cgroup_;
  std::mutex moving_mutex_;  // guards moving_
  std::future<Result<void>> moving_;
  config::Loaded config_;
  std::mutex share_mutex_;  // guards share_
  std::optional<storage::SharedDirectory> share_;
  std::atomic<unsigned> disks_ = 0;                                 // that were attached so far
  std::mutex copies_mutex_;                                         // guards copies_
  std::map<std::string, std::shared_future<Result<void>>> copies_;  // by their paths in the guest
  std::unique_ptr<storage::Virtiofsd> virtiofsd_;
  std::shared_ptr<hypervisor::Hypervisor> vm_;  // set under mutex_
  std::atomic<int> vm_number_ = 0;              // counts those that were started
  hypervisor::AcceleratorKind accelerator_ = hypervisor::AcceleratorKind::kTcg;
  std::vector<Phase> boot_phases_;
  std::mutex grow_mutex_;  // one growth at a time, or sums would overtake each other; guards:
  MachineSize size_;       // that the guest has in use
  uint32_t boot_mib_ = 0;  // that it began with
  std::optional<SizeReport> size_report_;
  size_t nics_ = 0;                            // that the machine was started with
  std::string origin_;                         // of the guest: boot, template or warm
  bool template_wanted_ = false;               // it is to be built once this machine has booted
  std::shared_ptr<agent::AgentClient> agent_;  // set under mutex_
  std::shared_ptr<GuestNetwork> network_;      // set under mutex_
  std::atomic<int> pid_ = 0;

  std::mutex stop_mutex_;  // one Stop at a time

  mutable std::mutex mutex_;               // guards what follows
  mutable std::condition_variable ended_;  // end_reason_ is set
  MachineState state_ = MachineState::kNone;
  SandboxRecord record_;
  std::string end_reason_;  // of the VM that is or was there last; empty before its end
  std::string virtiofsd_obituary_;
};

}  // namespace kata::sandbox
