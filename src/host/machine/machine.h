// SPDX-License-Identifier: Apache-2.0
//
// host/machine/machine.h - a sandbox's machine: its guest, and what the host has for it.
//
// The guest (guest.h) is one value, made by Boot() and replaced by the next one only. What the
// machine itself has is one state, the record (record_keeper.h), the shared directory, the host's
// cgroup (cgroup_move.h) and the guest's growth (growth.h).
//
// Everything made on the host is written into the sandbox's record before or as it is made.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/config/load.h"
#include "host/machine/cgroup_move.h"
#include "host/machine/direct_disks.h"
#include "host/machine/growth.h"
#include "host/machine/guest.h"
#include "host/machine/guest_start.h"
#include "host/machine/machine_host.h"
#include "host/machine/mount_watch.h"
#include "host/machine/record_keeper.h"
#include "host/machine/volume_follower.h"
#include "host/plan/vm_plan.h"
#include "host/storage/share.h"
#include "host/storage/upper_watch.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

// What there is of a machine.
//
//              Open         Boot, Restore                      the VM ends
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

// Safe from every thread, but that Prepare, Open and Boot come one after the other.
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
  // Where it was opened, after Stop().
  ~Machine();

  // Once, before Open; on the loop's thread after Prepare.
  void Identify(Identity identity) KATA_EXCLUDES(mutex_);

  // Starts the machine before anybody asks for it, and rehearses a container, so that all that one
  // needs is warm. Its end before Identify calls `on_end`. Then Open and Boot make it somebody's,
  // or, where it does not fit what they ask for, begin anew.
  Result<void> Prepare(const config::Loaded& config, std::function<void()> on_end)
      KATA_EXCLUDES(mutex_);
  // In place of a cgroup that UseCgroup names: those that a prepared machine is to move to.
  void UseCgroupsOf(std::vector<std::string> directories) KATA_EXCLUDES(mutex_);
  // Of this process and a prepared machine's, as the kernel weighs them when memory runs out.
  void SetOomScore(int score) const KATA_EXCLUDES(mutex_);

  // The host's cgroup for the next Boot, as HostCgroupPath gives it. Where it cannot be had, the
  // machine runs where the shim was started.
  void UseCgroup(std::string path) KATA_EXCLUDES(mutex_);

  // Writes the record and makes the shared directory, so that files can be mounted, and mistakes in
  // them found, before anything boots. Stop() undoes it. What is open already stays as it is.
  // Errors  kAlreadyExists  a sandbox of this id lives in another namespace
  //         kNotFound       a file that a machine needs is missing
  Result<void> Open(const config::Loaded& config) KATA_EXCLUDES(mutex_);
  // Once open, starts everything and returns when the agent serves and the sandbox exists in the
  // guest. After a failure nothing is left, and Open and Boot may be tried again. The guest has the
  // interfaces of the network namespace bound at `network`, or of a new one where that is empty;
  // the VMM lives there, or, if the machine was prepared, in one of its own. `containers`: as Grow.
  // Errors  kCancelled  Abort() or Stop() came in between
  Result<void> Boot(const MachineSize& containers, const agent::CreateSandboxRequest& sandbox,
                    const std::string& network) KATA_EXCLUDES(mutex_);
  // Instead of Boot: the guest goes on where it was saved, in this network. Its containers are
  // frozen until AgentClient::Thaw. A machine that was prepared is of no use then, and ends.
  // Errors  as RestoreGuest
  Result<void> Restore(SavedGuest saved, const MachineSize& containers, const std::string& network)
      KATA_EXCLUDES(mutex_);
  bool is_open() const KATA_EXCLUDES(mutex_);
  // Boot has succeeded; the VM may have ended since then.
  bool booted() const KATA_EXCLUDES(mutex_);
  // Whether a VM is there, or is being started. False once it has ended or is being stopped.
  bool alive() const KATA_EXCLUDES(mutex_);

  // Returns when all that Boot has begun has happened: the move to the host's cgroup takes its
  // time.
  void AwaitBoot() const KATA_EXCLUDES(mutex_);

  // The guest that Boot has made last, which may have ended; null before that.
  std::shared_ptr<const Guest> guest() const KATA_EXCLUDES(mutex_);
  // Its agent's client; null before it.
  std::shared_ptr<agent::AgentClient> agent() const;
  // Of its VMM; 0 before it.
  int pid() const;

  // Runs `work` on the shared directory, one at a time. kUnavailable once the machine was stopped.
  template <class Work>
  auto WithShare(Work work) -> decltype(work(std::declval<storage::SharedDirectory&>())) {
    const MutexLock lock(share_mutex_);
    if (!share_) return Fail(Code::kUnavailable, "the sandbox has ended");
    return work(*share_);
  }
  // Has volumes follow what the host mounts below their sources, from here on; to be called when
  // containers have got or lost some.
  void FollowMounts();
  // Volumes that are disks.
  DirectDisks& direct_disks() { return direct_disks_; }
  // Images of layers that are disks, by their keys.
  DirectDisks& layer_disks() { return layer_disks_; }
  // Whose it is.
  std::string sandbox_id() const KATA_EXCLUDES(mutex_);
  // Volumes that the guest has copies of.
  VolumeFollower& follower() { return follower_; }
  storage::UpperWatches& upper_watches() { return upper_watches_; }
  // Null before it was opened.
  std::shared_ptr<const config::Config> config() const KATA_EXCLUDES(mutex_);
  // Whether directories of the host can be shown to the guest. Else root file systems are disks,
  // and volumes are copied.
  bool shares_files() const { return config()->hypervisor.shares_files(); }
  // That of the VM, which goes with the machine. It need not exist before Boot.
  std::string directory() const KATA_EXCLUDES(mutex_);
  // Has images of these layers made in the background.
  void BuildLayers(const std::vector<std::string>& layers) KATA_EXCLUDES(mutex_);
  // For what others make for the sandbox.
  RecordKeeper& record() { return record_; }
  // The directory of the sandboxes' records.
  const std::string& records() const { return record_.directory(); }

  // An error of a call to the guest, completed by what is known: how it ended, or the last lines of
  // its console (VmProcesses::Explain). Not on the loop's thread.
  Error Explain(Error error) const KATA_EXCLUDES(mutex_);

  // As Growth, of the guest that there is.
  void Grow(const MachineSize& containers) KATA_EXCLUDES(mutex_);
  Result<void> GrowOrRefuse(const MachineSize& containers) KATA_EXCLUDES(mutex_);
  void ReportSize(const MachineSize& containers) KATA_EXCLUDES(mutex_);

  // Makes the guest's network what the namespace has now. Does nothing when that has not changed,
  // or nothing runs.
  // Errors  kDeadlineExceeded  an earlier change does not come to an end
  Result<void> SyncNetwork() KATA_EXCLUDES(mutex_);
  // Of a pod: has the loopback of its network namespace lead into the guest (LoopbackDoor).
  void ShareLoopback() const;

  // Whether what containers have written may still be in the guest alone when they have ended: on
  // disks, or where virtiofs holds writes back. Else the machine can end at any time.
  bool HoldsWrites() const;

  // Kills the VMM and no more: `on_end` follows. From any thread, does not block.
  void Kill();
  // Nobody wants the machine any more: kills the VMM, and has a Boot that is under way fail soon.
  // Stop() is to follow; `on_end` is not called. From any thread, does not block.
  void Abort() KATA_EXCLUDES(mutex_);
  // Ends the machine and removes all that it made; also what a Boot that is under way has made.
  // Blocks; not on the loop's thread. Idempotent.
  void Stop() KATA_EXCLUDES(mutex_);

 private:
  // A guest and what comes with it.
  struct Made {
    std::shared_ptr<Guest> guest;
    std::shared_ptr<Growth> growth;
  };

  // From the first state to the second one, in which a guest is being started, until EndStart. What
  // is returned asks for the end of that.
  // Errors  kUnavailable  all of the machine has ended meanwhile
  //         kCancelled    it is in another state: it is no longer wanted
  Result<std::stop_token> BeginStart(MachineState from, MachineState to) KATA_EXCLUDES(mutex_);
  void EndStart() KATA_EXCLUDES(mutex_);
  // Stops where nobody wants the machine any more, or the guest has ended already.
  Result<void> Keep(Made made) KATA_EXCLUDES(mutex_);
  Result<void> KeepWaiting(std::unique_ptr<StartedGuest> started, std::string key)
      KATA_EXCLUDES(mutex_);

  Result<GuestSetting> Setting(const std::string& network, std::stop_token stop)
      KATA_EXCLUDES(mutex_);
  // From `waiting`, if there is one that can be used, else anew.
  Result<Made> MakeGuest(const GuestSetting& setting, std::unique_ptr<StartedGuest> waiting,
                         const MachineSize& containers, const agent::CreateSandboxRequest& sandbox,
                         bool* template_wanted);
  // `sandbox` null: the guest has it.
  Result<Made> EnterSandbox(const GuestSetting& setting, std::unique_ptr<StartedGuest> started,
                            const MachineSize& containers,
                            const agent::CreateSandboxRequest* sandbox, Phases& phases);
  Result<std::unique_ptr<StartedGuest>> StartWaiting(const GuestSetting& setting,
                                                     bool* template_wanted);
  // What a machine must have in common with a prepared one to take its place.
  static Result<std::string> PreparedKey(const config::Config& config);
  // Makes the prepared machine somebody's. False: there is none, or it is no longer.
  Result<bool> OpenWaiting(const config::Loaded& config) KATA_EXCLUDES(mutex_);
  Result<void> OpenAnew(const config::Loaded& config) KATA_EXCLUDES(mutex_);
  Result<void> EnterCgroup(const StartedGuest* waiting) KATA_EXCLUDES(mutex_);
  void BuildTemplate() KATA_EXCLUDES(mutex_);
  // Runs `start` with the configuration and the cgroups of what is made in the background: those
  // from before the machine's.
  void Build(std::string_view what,
             const std::function<Result<void>(const config::Loaded&,
                                              const std::vector<std::string>&)>& start)
      KATA_EXCLUDES(mutex_);
  void OnGuestEnd(const Guest* which, const std::string& reason) KATA_EXCLUDES(mutex_);
  void OnMounts();
  void OnWaitingEnd(const std::string& reason) KATA_EXCLUDES(mutex_);
  std::shared_ptr<Growth> growth() const KATA_EXCLUDES(mutex_);
  std::string VmDirectory() const KATA_REQUIRES(mutex_) { return host_.vm_root + "/" + name_; }

  const MachineHost host_;
  sys::EventLoop& loop_;
  RecordKeeper record_;
  DirectDisks direct_disks_;
  DirectDisks layer_disks_;
  VolumeFollower follower_;
  storage::UpperWatches upper_watches_;
  MountWatch mounts_{[this] { OnMounts(); }};

  Mutex share_mutex_;
  std::optional<storage::SharedDirectory> share_ KATA_GUARDED_BY(share_mutex_);

  mutable Mutex mutex_;
  CondVar changed_;  // starting_ or stopping_ has ended
  MachineState state_ KATA_GUARDED_BY(mutex_) = MachineState::kNone;
  bool starting_ KATA_GUARDED_BY(mutex_) = false;  // between BeginStart and EndStart
  bool stopping_ KATA_GUARDED_BY(mutex_) = false;  // Stop() is at work
  std::stop_source start_ KATA_GUARDED_BY(mutex_){std::nostopstate};  // the last one
  std::string name_ KATA_GUARDED_BY(mutex_);
  Identity identity_ KATA_GUARDED_BY(mutex_);
  std::shared_ptr<const config::Loaded> config_ KATA_GUARDED_BY(mutex_);
  CgroupMove::Goal cgroup_goal_ KATA_GUARDED_BY(mutex_);
  std::shared_ptr<CgroupMove> cgroup_ KATA_GUARDED_BY(mutex_);
  std::unique_ptr<StartedGuest> waiting_ KATA_GUARDED_BY(mutex_);  // until Boot takes it
  std::string waiting_key_ KATA_GUARDED_BY(mutex_);                // PreparedKey of it
  // Kept when it has ended, for those who still ask it.
  Made last_ KATA_GUARDED_BY(mutex_);
  bool last_is_of_now_ KATA_GUARDED_BY(mutex_) = false;  // no Open has come since
};

}  // namespace kata::sandbox
