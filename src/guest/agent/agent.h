// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/agent.h - the state behind the agent's services, and what takes several steps.
//
// One thread. Calls that cannot be answered at once keep their callback and are answered from
// events: a child's report, a child's end, a device, a timer.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/agent/config.h"
#include "guest/agent/container_table.h"
#include "guest/agent/devices.h"
#include "guest/agent/freezer.h"
#include "guest/agent/network/dns_relay.h"
#include "guest/agent/network/loopback_connections.h"
#include "guest/agent/network/port_mirror.h"
#include "guest/agent/oom_watch.h"
#include "guest/agent/plugged.h"
#include "guest/agent/sandbox.h"
#include "guest/agent/storage/storage.h"
#include "guest/agent/thrash_watch.h"
#include "guest/agent/waiting_calls.h"
#include "proto/agent.pb.h"
#include "sys/event_loop.h"
#include "sys/process.h"

namespace kata::guest {

class Agent {
 public:
  using Done = std::move_only_function<void(Result<void>)>;

  // `stop` ends the agent: called once, after DestroySandbox or a signal.
  Agent(sys::EventLoop& loop, Config config, std::function<void()> stop);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Errors  kAlreadyExists       there is a sandbox
  //         kFailedPrecondition  a kernel module that cannot be had (LoadSandboxModules)
  void CreateSandbox(agent::CreateSandboxRequest request, Done done);
  // Removes all containers and storages. Goes on after an error and gives the first.
  void DestroySandbox(Done done);

  // Waits for devices, mounts storages, forks the first process; `done` when it is ready. After an
  // error nothing of the container is left.
  void CreateContainer(agent::CreateContainerRequest request, Done done);
  // Kills what runs, waits until it is gone, brings an upper layer on a disk back, removes
  // everything. `timeout` is for the first two.
  // Errors  kDeadlineExceeded  after `timeout`; may be tried again
  //         kDataLoss          the upper layer could not be brought back; all else is done
  void RemoveContainer(const ContainerTable::EntryPtr& entry, std::chrono::milliseconds timeout,
                       Done done);
  // `done` when the program executes.
  void ExecProcess(agent::ExecProcessRequest request, Done done);
  // Pauses or resumes; `done` when the kernel has done it. A container that is paused has its upper
  // layer brought back; where that fails, it is resumed.
  void Freeze(const ContainerTable::EntryPtr& entry, bool on, Done done);
  // Of a container whose first process has ended: `done` when the host may be told
  // (BringUppersBackAtEnd).
  void SettleEnd(const ContainerTable::EntryPtr& entry, std::move_only_function<void()> done);

  // Has the storage's file system look at its names anew (StorageTable::Reconfigure).
  // Errors  kNotFound  no storage is mounted there
  void ReconfigureMount(const std::string& mount_point, Done done);

  // A container of a copy of a saved guest gets another name. Only while all is frozen.
  // Errors  kNotFound, kAlreadyExists, kInvalidArgument, kFailedPrecondition
  Result<void> RenameContainer(const std::string& id, const std::string& now);
  // In the namespace that the sandbox's containers share.
  // Errors  kFailedPrecondition  there is no sandbox
  Result<void> SetHostname(const std::string& hostname);
  // Waits until the storage's disk has `bytes`, which the host has given it, and makes its file
  // system as large.
  // Errors  kNotFound            no storage is mounted there
  //         kDeadlineExceeded    the disk has not become so large
  //         and those of GrowFileSystem (storage/grow.h)
  void GrowStorage(const std::string& mount_point, uint64_t bytes, Done done);

  // The reaper's news: of our processes and of strangers.
  void OnChildExit(pid_t pid, sys::ExitStatus status);
  // Ends the agent a moment later, so that answers on their way arrive.
  void StopSoon();

  sys::EventLoop& loop() { return loop_; }
  const Config& config() const { return config_; }
  ContainerTable& containers() { return containers_; }
  OomWatch& oom() { return oom_; }
  DeviceWaiter& devices() { return devices_; }
  PluggedWatch& plugged() { return plugged_; }
  DnsRelay& names() { return names_; }
  PortMirror& ports() { return ports_; }
  LoopbackConnections& connections() { return connections_; }
  WaitingCalls& waiting_calls() { return waiting_calls_; }
  Freezer& freezer() { return freezer_; }
  // Errors  kFailedPrecondition  there is no sandbox
  Result<GuestNetwork*> network();
  // True where this process is the guest's first.
  static bool IsInit();

 private:
  struct Creation;
  struct Removal;

  void MakeSandbox(const std::shared_ptr<agent::CreateSandboxRequest>& shared, Done done);
  Result<void> FinishSandbox(const agent::CreateSandboxRequest& request,
                             Result<std::vector<std::string>> mounted);
  void PrepareContainer(const std::shared_ptr<Creation>& creation);
  void StartPrepared(const std::shared_ptr<Creation>& creation);
  Result<void> StartCreation(Creation& creation);
  void FinishCreation(const std::shared_ptr<Creation>& creation, Result<void> result);
  void ContinueRemoval(const std::shared_ptr<Removal>& removal);
  // `result` is of the container's end, `back` of its upper layer.
  void FinishRemoval(const std::shared_ptr<Removal>& removal, const Result<void>& result,
                     Result<void> back);
  void BringBackPaused(const ContainerTable::EntryPtr& entry, Done done);
  void AwaitFrozen(const ContainerTable::EntryPtr& entry, bool on, Deadline deadline, Done done);

  sys::EventLoop& loop_;
  const Config config_;
  std::function<void()> stop_;
  bool stopping_ = false;
  DeviceWaiter devices_;
  ThrashWatch thrash_;
  OomWatch oom_;
  PluggedWatch plugged_;
  DnsRelay names_;
  PortMirror ports_;
  LoopbackConnections connections_;
  StorageTable storages_;
  bool creating_sandbox_ = false;
  std::optional<Sandbox> sandbox_;
  ContainerTable containers_;
  WaitingCalls waiting_calls_;
  Freezer freezer_;
};

}  // namespace kata::guest
