// SPDX-License-Identifier: Apache-2.0
//
// host/machine/vm_processes.h - what runs for one VM: virtiofsd, the VMM, and the client of the
// agent in it. Started one after the other, ended together; this is who knows how they ended.
//
// The starts come from one thread, before others see the object; all else is safe from every
// thread. What a start that fails has made goes with the object: the destructor ends what runs. It
// blocks as Stop() does.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/hypervisor/hypervisor.h"
#include "host/storage/virtiofsd.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

class VmProcesses {
 public:
  // Of the guest's console, where an error or the log shows its end.
  static constexpr size_t kConsoleLines = 12;

  explicit VmProcesses(sys::EventLoop& loop);
  VmProcesses(const VmProcesses&) = delete;
  VmProcesses& operator=(const VmProcesses&) = delete;
  ~VmProcesses();

  // Without its files the guest cannot go on: with virtiofsd the VMM ends.
  Result<void> StartVirtiofsd(const storage::VirtiofsdSpec& spec, Deadline deadline);
  // The VMM's end of its connection. Once.
  sys::UniqueFd TakeShare() { return virtiofsd_->TakeConnection(); }
  // Errors  as Hypervisor::Start
  //         kUnavailable  virtiofsd has ended before there was a VMM
  Result<void> StartVmm(std::unique_ptr<hypervisor::Hypervisor> vm, hypervisor::VmSpec spec,
                        Deadline deadline);
  // As AgentClient::Create. When the agent goes, the VMM has a moment to end by itself.
  Result<void> ConnectAgent(std::chrono::milliseconds request_timeout, uint32_t first_stream,
                            Deadline deadline);

  // Null before they were started. They can be used as long as they are held: once the VM has
  // ended, every call fails.
  const std::shared_ptr<hypervisor::Hypervisor>& vm() const { return vm_; }
  const std::shared_ptr<agent::AgentClient>& agent() const { return agent_; }
  pid_t virtiofsd_pid() const { return virtiofsd_pid_; }  // 0: none
  // The VMM's, virtiofsd's and those of virtiofsd's children.
  std::vector<pid_t> pids() const;

  // False once the VM has ended, or Stop() was called.
  bool alive() const;
  // How it has ended; empty before that.
  std::string end_reason() const;
  // `handler` is called once, on the loop's thread, when the VM has ended and nobody has called
  // Stop(); soon, where it has ended already.
  void OnEnd(std::function<void(const std::string& reason)> handler);

  // An error of a call to the VMM or the agent, completed by what is known: how the VM ended, or
  // the last lines of its console when the guest did not answer. Connections break a moment before
  // the end is known, which is waited for; not on the loop's thread.
  Error Explain(Error error) const;
  // The same of a start, where virtiofsd may be what has ended.
  Error ExplainStart(Error error) const;

  // Kills the VMM and no more; nothing happens before it was started. Does not block.
  void Kill();
  // Ends all of it; not on the loop's thread. Idempotent; one thread at a time.
  void Stop();

 private:
  struct Watch;
  void WatchVirtiofsd();
  std::string VirtiofsdExit() const;

  sys::EventLoop& loop_;
  // What the loop's handlers share with it, and may outlive it.
  const std::shared_ptr<Watch> watch_;
  std::unique_ptr<storage::Virtiofsd> virtiofsd_;
  pid_t virtiofsd_pid_ = 0;
  std::shared_ptr<hypervisor::Hypervisor> vm_;
  std::shared_ptr<agent::AgentClient> agent_;
};

}  // namespace kata::sandbox
