// SPDX-License-Identifier: Apache-2.0
//
// host/machine/testing/fake_host.h - a host for machines in unit tests: its VMM is a process that
// sleeps, and behind it an agent answers (fake_agent.h).
//
// Needs no root, no VM, no mounts. The machine's configuration says shared_fs = "none" and
// internetworking_model = "none"; WriteConfiguration() makes such a file.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/hypervisor/hypervisor.h"
#include "host/machine/machine_host.h"
#include "host/machine/testing/fake_agent.h"
#include "sys/event_loop.h"
#include "sys/process.h"

namespace kata::sandbox {

class FakeVmm;

class FakeHost {
 public:
  // `directory` is the test's own; machines make things below it.
  FakeHost(sys::EventLoop& loop, std::string directory);

  // For Machine.
  MachineHost host();

  // For the agents of machines that start from now on.
  void SetAgentScript(AgentScript script);
  // Called as each VMM starts, on a pool's thread; may block, an error is what Start() returns.
  void SetStartScript(std::function<Result<void>()> script);
  // The same as each connection to an agent is asked for.
  void SetConnectScript(std::function<Result<void>()> script);

  // Called as a VMM is stopped, before it is killed; may block.
  void SetStopScript(std::function<void()> script);

  sys::EventLoop& loop();

  // How many VMMs run.
  size_t vms() const;
  // Kills those that run, as the kernel would.
  void KillVms();
  // Returns when those have died; whether the loop has heard of it yet or not.
  void AwaitDeaths();
  // The agent of the machine that was started last; null before there was one.
  std::shared_ptr<FakeAgent> agent() const;
  // Disks that the machine which was started last has.
  std::vector<std::string> disks() const;

  // Whether the processors of that machine stand still.
  bool paused() const;

  // A configuration for such machines, and the files that it names; returns its path.
  std::string WriteConfiguration() const;
  // What is left of machines and records below the directory.
  std::vector<std::string> Leftovers() const;

 private:
  friend class FakeVmm;
  struct Shared;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace kata::sandbox
