// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/sandbox.h - the engine: one virtual machine and the containers in it.
//
// The first container that is created boots the machine, the last that is deleted ends it
// (members.h says what happens when). All calls block, are for pool threads, and may come at the
// same time. Errors carry the codes that containerd acts on (kNotFound, kAlreadyExists,
// kFailedPrecondition); when the guest does not answer, they carry the end of its console.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/call_queue.h"
#include "base/deadline.h"
#include "base/mutex.h"
#include "base/result.h"
#include "host/config/load.h"
#include "host/machine/machine.h"
#include "host/plan/guest_plan.h"
#include "host/sandbox/container.h"
#include "host/sandbox/members.h"
#include "host/sandbox/pod.h"
#include "host/sandbox/pod_life.h"
#include "host/sandbox/process.h"
#include "host/storage/rootfs.h"
#include "proto/agent.pb.h"
#include "proto/guest.pb.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

// What a sandbox tells of by itself. Called on the event loop's or a pool's thread; must not block.
struct Observer {
  // Before the process can exit; `exec_id` is empty for a container's first process.
  std::function<void(const std::string& container_id, const std::string& exec_id)> on_started;
  // Exactly once a process that was created, whoever ended it; not for an exec that is deleted
  // before it has run.
  std::function<void(const std::string& container_id, const std::string& exec_id,
                     const ExitInfo& exit)>
      on_exit;
  // After that, once a process that was deleted, whoever asked for it, and before another one can
  // have its name.
  std::function<void(const std::string& container_id, const std::string& exec_id,
                     const ExitInfo& exit)>
      on_deleted;
  std::function<void(const std::string& container_id)> on_oom;
  // A process's stand-in on the host said something, to be given to Sandbox::HandleStandIn() on
  // another thread, with `handled`. May be empty.
  std::function<void(const std::string& container_id, const std::string& exec_id,
                     const stdio::StandInEvent& event, std::function<void()> handled)>
      on_stand_in;
  // An exec with a stand-in has ended and nobody will ask for it any more: to be given to
  // Sandbox::Delete() on another thread. May be empty.
  std::function<void(const std::string& container_id, const std::string& exec_id)> on_stand_in_end;
  // The network namespace has changed: Sandbox::FollowNetwork() is to be called on another thread.
  std::function<void()> on_network;
};

// Who asks for a container.
struct Caller {
  // Whether he still waits for the answer. What he no longer wants is undone.
  std::function<bool()> wanted = [] { return true; };
  // Until when he waits at most: how long his container queues for the boot of another one.
  Deadline deadline = Deadline::Never();
  // Called before anybody can hear anything else of the container; must not block.
  std::function<void()> created = [] {};
};

struct ContainerRequest {
  std::string id;
  std::string bundle;       // holds config.json
  std::string config = {};  // in its place; empty: as it stands
  std::vector<storage::RootfsMount> rootfs;
  StdioRequest stdio;
  std::string checkpoint = {};  // a directory that Checkpoint() has written; empty: begins anew
};

struct CheckpointRequest {
  std::string container_id;
  std::string name = {};  // of the snapshot; empty: one that nobody has
  // Gets what a restore is told, and is made where it is missing; empty: nobody restores by it.
  std::string directory = {};
  // Whether the container ends with it, or goes on; nothing: as checkpoint_exit says.
  std::optional<bool> exit = false;
  // Called once it is saved, before anybody hears of its end; must not block.
  std::function<void()> saved = [] {};
  // Whether somebody still waits for it. What nobody wants is undone, and the container goes on.
  std::function<bool()> wanted = [] { return true; };
};

// What has come of it.
struct SavedSnapshot {
  std::string name;
  std::string store;   // the directory that it is in
  uint64_t bytes = 0;  // on the disk, nearly
};

// A moment's view of a process.
struct ProcessView {
  std::string bundle;
  StdioRequest stdio;
  ProcessState state = ProcessState::kCreated;
  bool paused = false;
  ExitInfo exit;
  int pid = 0;  // of the VMM
};

class Sandbox {
 public:
  // `owner` is the shim's socket; `container_namespace` is containerd's, for logging programs.
  // `prepared` is a machine that waits for a sandbox, or none.
  Sandbox(std::string id, std::string owner, std::string container_namespace, sys::EventLoop& loop,
          Observer observer, std::unique_ptr<Machine> prepared = nullptr);
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  // After the event loop has ended.
  ~Sandbox();

  const std::string& id() const { return id_; }
  // The machine's guest, which may have ended; null before the first Create has booted it.
  std::shared_ptr<const Guest> guest() const { return machine_.guest(); }
  std::vector<std::string> container_ids() const;
  // Where the sandbox's record is.
  const std::string& records() const { return machine_.records(); }
  // Of the VMM; 0 before the first Create has booted it.
  int pid() const { return machine_.pid(); }

  // Of these three, a process that could not be made or started is told of in the words of
  // oci/runtime_error.h. `config` matters for the container that boots the machine.
  // A creation that is deleted, whose caller has gone, or whose sandbox is shut down is undone:
  // kCancelled. After kUnavailable the sandbox has been shut down.
  Result<void> Create(const ContainerRequest& request, const config::Loaded& config,
                      const Caller& caller);
  Result<void> Start(const std::string& container_id, const std::string& exec_id);
  // `added` is called before anybody can hear anything else of the exec; must not block.
  Result<void> Exec(const std::string& container_id, const std::string& exec_id,
                    const oci::Process& process, const StdioRequest& stdio,
                    const std::function<void()>& added);
  // `all`: every process of the container.
  Result<void> Kill(const std::string& container_id, const std::string& exec_id, uint32_t signal,
                    bool all);
  // Removes a process that has ended or was never started, when a start that is under way has come
  // to its end; with an empty `exec_id` the container. One that is being created is undone.
  // Errors  kFailedPrecondition  it still runs
  //         kNotFound            also: it was being created, and is undone now
  Result<ExitInfo> Delete(const std::string& container_id, const std::string& exec_id);

  // Saves a container that runs, with its machine. After an error it goes on, and nothing is left;
  // before anything stands still:
  // Errors  kFailedPrecondition  it cannot be saved: why, and what to change
  //         kAlreadyExists, kInvalidArgument  its name is taken, or none
  Result<SavedSnapshot> Checkpoint(const CheckpointRequest& request);
  // Whether Checkpoint() would begin now. Errors  kFailedPrecondition  likewise
  Result<void> CheckSavable(const std::string& container_id) const;
  Result<void> Pause(const std::string& container_id);
  Result<void> Resume(const std::string& container_id);
  Result<void> ResizeTerminal(const std::string& container_id, const std::string& exec_id,
                              uint32_t rows, uint32_t columns);
  Result<void> CloseStdin(const std::string& container_id, const std::string& exec_id);
  // Errors  kResourceExhausted  the machine cannot have the memory that the new limit is for; the
  //                             container's limits are as before
  Result<void> Update(const std::string& container_id, const oci::LinuxResources& resources);
  Result<agent::StatsContainerResponse> Stats(const std::string& container_id);
  // Never empty while the container runs: an agent that cannot list gives the VMM's pid.
  Result<std::vector<guest::GuestProcess>> Pids(const std::string& container_id);
  Result<ProcessView> State(const std::string& container_id, const std::string& exec_id) const;
  // `done` is called once the process has ended.
  Result<void> Wait(const std::string& container_id, const std::string& exec_id,
                    Process::ExitCallback done);

  // Does what the stand-in of a process asks for: a signal, a new size of the terminal, or, when
  // the stand-in has gone, SIGKILL. Errors are logged. `handled` is called after that. What comes
  // while the process is being started is given to Observer::on_stand_in once more when it has
  // been.
  void HandleStandIn(const std::string& container_id, const std::string& exec_id,
                     const stdio::StandInEvent& event, std::function<void()> handled);

  // Makes the guest's network what the namespace has now. Errors are logged.
  void FollowNetwork();

  // The packet filter of the containers, as iptables-save writes and iptables-restore reads it.
  // Errors  kInvalidArgument     not such text; nothing has changed
  //         kFailedPrecondition  no machine runs
  Result<std::string> IpTables(bool ipv6);
  // Of a volume that is a disk, by its path on the host.
  // Errors  kNotFound  no container has it
  Result<csi::VolumeStatsResponse> VolumeStats(const std::string& volume);
  // Makes the disk `bytes` large, and its file system as large as it. After an error it can be
  // asked for again: the disk may have grown already.
  // Errors  kNotFound            no container has it
  //         kInvalidArgument     it is larger
  //         kUnimplemented, kFailedPrecondition  as CheckGrows (machine/direct_disks.h)
  Result<void> GrowVolume(const std::string& volume, uint64_t bytes);
  Result<void> SetIpTables(bool ipv6, const std::string& rules);

  // A pod without a container of its own (pod_life.h, pod.h). Its machine's files and settings are
  // looked at, and it is not started yet.
  // Errors  kAlreadyExists       there is one
  //         kFailedPrecondition  there are containers
  Result<void> CreatePod(const PodRequest& request);
  // Boots the machine. After a failure nothing of it is left but the pod, to be stopped.
  // Errors  kFailedPrecondition  it was not created, was started before, or has ended
  Result<void> StartPod();
  // Ends its containers within `patience` (0: a default), what they have written is kept, and then
  // the machine with all that it had. Containers can still be deleted. Idempotent.
  // Errors  kNotFound  there is no pod
  Result<void> StopPod(std::chrono::seconds patience);
  // Whether the guest answers. Errors  kFailedPrecondition  the pod does not run
  Result<void> PingPod();
  // What its containers use, each.
  std::vector<agent::StatsContainerResponse> PodStats();
  PodLife::View pod() const { return pod_.view(); }
  // `done` is called once it has left its life, with 0 where it was stopped.
  Result<void> WaitPod(PodLife::ExitCallback done) { return pod_.OnExit(std::move(done)); }
  // As CreatePod was told; empty: the host's.
  std::string pod_network() const;
  // Whether somebody has made it, whatever has become of it since.
  bool is_pod() const { return members_.held(); }

  // Whether there is a container or a pod.
  bool IsNeeded() const;
  // Decides about the sandbox's end, see members.h. After kBegun the caller calls Shutdown().
  Members::Shutdown BeginShutdown(bool now) { return members_.BeginShutdown(now); }
  // Ends everything, whatever state it is in. Blocks until nothing is left.
  void Shutdown();

 private:
  Result<void> OpenPod(const PodRequest& request);
  Result<void> BootPod();
  // Of a pod that is about to end.
  void EndContainers(std::chrono::seconds patience);
  void ReleasePod();
  std::map<std::string, std::string> pod_files() const;

  Result<std::shared_ptr<Container>> FindContainer(const std::string& container_id) const;
  Result<std::shared_ptr<Process>> FindProcess(const std::string& container_id,
                                               const std::string& exec_id) const;
  // Whether the container's first process has not ended; it may not have been started.
  Result<void> FindAlive(const std::string& container_id) const;
  struct Creation;
  Result<void> CreateInGuest(const ContainerRequest& request, const config::Loaded& config,
                             const Caller& caller, Container& container);
  // Its parts: what is wanted, on an open machine; then one of two; then others can find it.
  Result<void> BeginCreation(Creation& creation);
  Result<void> MakeContainer(Creation& creation);
  Result<void> RestoreContainer(Creation& creation);
  Result<void> KeepCreation(Creation& creation);
  Result<void> RunCreateHooks(Creation& creation);
  Result<SavedSnapshot> Save(const CheckpointRequest& request, Container& container);
  // Of a container that was saved to end, and stands still.
  Result<void> EndSaved(Process& init);
  // In one that was restored: what its engine has made of them for it.
  Result<void> ShowEnginesFiles(const Creation& creation);
  // Whether it is another one beside the container `saved`, or that one again.
  static bool Forks(const Creation& creation, const std::string& saved);
  // Of one that was restored, and has those of another one.
  Result<void> RenewLimits(const Creation& creation);
  // The start of one that was restored.
  Result<void> Thaw(Container& container);
  // The container is no longer there, whichever way; the machine ends with the last one.
  void Forget(const std::string& container_id);
  // Ends the creation of this name, if there is one, and waits until it has been undone.
  bool UndoCreation(const std::string& container_id);
  // Opens the machine for the first container, configured as that one's annotations say.
  Result<void> OpenFor(const Creation& creation);
  // Boots the machine by `boot`, or makes the running one big enough for one container more.
  // Errors  kFailedPrecondition  it runs, and the container is to be restored
  Result<void> BootFor(
      const Creation& creation,
      const std::function<Result<void>(const MachineSize& size, const std::string& network)>& boot);
  // Observer::on_exit shall hear of the process's end.
  void Report(const std::string& container_id, Process& process);
  // Of a process that others can find by now: its machine may have ended before that.
  void EndWithMachine(Process& process);
  // `on_end` is called before others hear of an exit.
  void WaitForExit(const std::string& container_id, const std::shared_ptr<Process>& process,
                   std::function<void()> on_end = {});
  // Connects the process with its stand-in, if it has one.
  void FollowStandIn(const std::string& container_id, const std::shared_ptr<Process>& process);
  // Serves the /proc that is shown at the container's stand-in, if it has one.
  void ShowProcesses(const std::string& container_id, ProcessIo& io, Container& container);
  void ObeyLine(const std::string& container_id, Process& process,
                const stdio::StandInEvent& event);
  Result<void> StartInGuest(Container& container, Process& process);
  // The host's ends of a process, whose logging program has ended then and leaves the record.
  void CloseIo(ProcessIo& io);
  Result<ExitInfo> DeleteContainer(Container& container);
  Result<ExitInfo> DeleteExec(Container& container, const std::string& exec_id);
  // `drained`: its output has come to its end. `last`: the machine ends as well.
  void RemoveFromGuest(Container& container, bool drained, bool last);
  // How it came that the guest has let go of a container, or that it has not.
  enum class Removal {
    kDone,      // it has removed it
    kNotThere,  // there is no such container, or no machine any more
    kFailed,
  };
  Removal AskToRemove(const std::string& container_id, std::chrono::milliseconds timeout);
  // Notes what the container asks for, and gives what all of them do.
  MachineSize AskFor(const std::string& container_id, const MachineSize& wanted);
  void Grow(const std::string& container_id, const oci::LinuxResources& resources);
  // The same for one that runs: what the machine cannot have is refused, and not noted.
  Result<void> GrowForUpdate(const std::string& container_id, const oci::LinuxResources& resources);
  // Of all containers.
  MachineSize SumOfSizes() const KATA_REQUIRES(mutex_);
  void OnMachineEnd();
  void WatchOom();
  // For a turn behind other calls to the guest: as long as one of them may take.
  Deadline RequestDeadline() const;
  // The same result, an error completed by what the machine knows.
  template <class T>
  Result<T> Explained(Result<T> result) const {
    if (result) return result;
    return std::unexpected(machine_.Explain(std::move(result).error()));
  }

  const std::string id_;
  const std::string container_namespace_;
  sys::EventLoop& loop_;
  const Observer observer_;
  const std::unique_ptr<Machine> owned_machine_;
  Machine& machine_;

  CallQueue booting_;       // one container at a time boots the machine
  CallQueue filter_calls_;  // about the packet filter, which the first one gives to the guest

  Members members_;
  PodLife pod_;

  // What its machine is made of.
  struct Pod {
    std::string hostname;
    std::string network_path;  // as its maker said
    std::string network;       // for Machine::Boot
    sys::UniqueFd held_network;
    std::string cgroup;
    std::map<std::string, std::string> sysctls;
    std::map<std::string, std::string> files;  // on the host, by their paths in containers
  };

  mutable Mutex mutex_;
  Pod pod_made_of_ KATA_GUARDED_BY(mutex_);
  // What each container asks for.
  std::map<std::string, MachineSize> sizes_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
