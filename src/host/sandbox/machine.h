// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/machine.h - a sandbox's virtual machine with all that serves it: the shared
// directory, virtiofsd, the VMM and the connection to the agent.
//
// Everything made on the host is written into the sandbox's record before or as it is made.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
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
#include "host/sandbox/guest_network.h"
#include "host/sandbox/host_cgroup.h"
#include "host/sandbox/phases.h"
#include "host/sandbox/record.h"
#include "host/sandbox/vm_plan.h"
#include "host/sandbox/vm_template.h"
#include "host/storage/share.h"
#include "host/storage/virtiofsd.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

class Machine {
 public:
  // `on_end` is called once on the loop's thread when the machine has ended, whoever ended it,
  // unless that was Stop(). `on_network` is called there when the network namespace has changed:
  // SyncNetwork() is to follow, on another thread.
  // `owner` is the shim's socket: two containerd namespaces may use one id, but not at a time.
  Machine(std::string sandbox_id, std::string owner, sys::EventLoop& loop,
          std::function<void()> on_end, std::function<void()> on_network);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  // The host's cgroup for the next Boot, as HostCgroupPath gives it. Where it cannot be had, the
  // machine runs where the shim was started.
  void UseCgroup(std::string path) { cgroup_path_ = std::move(path); }

  // Writes the record and makes the shared directory, so that files can be mounted, and mistakes in
  // them found, before anything boots. Stop() undoes it. What is open already stays as it is.
  // Errors  kAlreadyExists  a sandbox of this id lives in another namespace
  //         kNotFound       a file that a machine needs is missing
  Result<void> Open(const config::Loaded& config);
  // Once open, starts everything and returns when the agent serves and the sandbox exists in the
  // guest. After a failure nothing is left, and Open and Boot may be tried again. The VMM lives in
  // the namespace of `network`, and the guest has its interfaces.
  Result<void> Boot(const MachineSize& size, const agent::CreateSandboxRequest& sandbox,
                    std::unique_ptr<GuestNetwork> network);
  bool is_open() const { return open_; }
  bool booted() const { return booted_; }
  // False once the machine has ended or is being stopped.
  bool alive() const { return alive_; }

  // Only while booted().
  agent::AgentClient& agent() { return *agent_; }
  hypervisor::Hypervisor& vm() { return *vm_; }
  // Runs `work` on the shared directory, one at a time. kUnavailable once the machine was stopped.
  template <class Work>
  auto WithShare(Work work) -> decltype(work(std::declval<storage::SharedDirectory&>())) {
    const std::lock_guard lock(share_mutex_);
    if (!share_) return Fail(Code::kUnavailable, "the sandbox has ended");
    return work(*share_);
  }
  // Once open.
  const config::Config& config() const { return config_.config; }
  // Of the VMM; 0 before it was started.
  int pid() const { return pid_; }

  // An error of a call to the guest, completed by what the machine knows: how it ended, or the last
  // lines of its console when the guest did not answer. Connections break a moment before the end
  // is known, which is waited for; not on the loop's thread.
  Error Explain(Error error) const;

  // Adds a process or path to the record.
  void Record(pid_t pid, ProcessRole role);
  void RecordContainer(const std::string& container_id);
  void ForgetContainer(const std::string& container_id);

  // Gives the machine processors and memory up to `total`, and the guest the use of them. A machine
  // that cannot grow still works: that is logged and no more.
  void Grow(const MachineSize& total);

  // Makes the guest's network what the namespace has now. Does nothing when that has not changed.
  Result<void> SyncNetwork();

  // Kills the VMM and no more: `on_end` follows. From any thread, does not block.
  void Kill();
  // Ends the machine and removes all that it made. Blocks; not on the loop's thread. Idempotent.
  void Stop();

 private:
  Result<void> StartParts(const MachineSize& size, const agent::CreateSandboxRequest& sandbox);
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
  Result<void> AddNics(hypervisor::VmSpec* spec);
  Result<void> ConnectAgent(Deadline deadline, uint32_t first_stream);
  void WatchVirtiofsd();
  void StopVirtiofsd();
  static std::string VmDirectory(const std::string& sandbox_id) {
    return "/run/vc/vm/" + sandbox_id;
  }
  // On the loop's thread: what serves the VMM has gone, perhaps because the VMM has. It gets a
  // moment to say why before it is killed.
  void KillSoon();
  void OnVmExit(const hypervisor::VmExit& exit);
  Result<void> BeginRecord();
  Result<void> EnterCgroup();
  Result<void> Save();

  const std::string id_;
  const std::string owner_;
  sys::EventLoop& loop_;
  const std::function<void()> on_end_;
  const std::function<void()> on_network_;

  std::string cgroup_path_;
  std::optional<HostCgroup> cgroup_;
  config::Loaded config_;
  std::mutex share_mutex_;  // guards share_
  std::optional<storage::SharedDirectory> share_;
  std::unique_ptr<storage::Virtiofsd> virtiofsd_;
  std::unique_ptr<hypervisor::Hypervisor> vm_;
  std::atomic<int> vm_number_ = 0;  // counts those that were started
  hypervisor::AcceleratorKind accelerator_ = hypervisor::AcceleratorKind::kTcg;
  size_t nics_ = 0;                            // that the machine was started with
  bool template_wanted_ = false;               // it is to be built once this machine has booted
  std::unique_ptr<agent::AgentClient> agent_;  // set under mutex_
  std::shared_ptr<GuestNetwork> network_;      // set under mutex_
  std::atomic<bool> open_ = false;
  std::atomic<bool> booted_ = false;
  std::atomic<bool> alive_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> pid_ = 0;

  std::mutex stop_mutex_;  // one Stop at a time

  mutable std::mutex mutex_;               // guards what follows
  mutable std::condition_variable ended_;  // end_reason_ is set
  SandboxRecord record_;
  std::string end_reason_;
  std::string virtiofsd_obituary_;
};

}  // namespace kata::sandbox
