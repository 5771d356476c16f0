// SPDX-License-Identifier: Apache-2.0
//
// A machine that was started before anybody asked for it, and how it becomes somebody's.
#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/hypervisor/accelerator.h"
#include "host/hypervisor/registry.h"
#include "host/machine/machine.h"
#include "host/machine/rehearsal.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::sandbox {

Result<void> Machine::Prepare(const config::Loaded& config, std::function<void()> on_end) {
  identity_.on_end = std::move(on_end);
  KATA_TRY(Open(config));
  KATA_TRY(Advance(MachineState::kOpen, MachineState::kPreparing));
  auto prepared = [&]() -> Result<void> {
    network_ = KATA_TRY(host_.open_network(""));
    Phases phases;
    KATA_TRY(StartGuest(TotalSize(config_.config.hypervisor, {}), phases));
    KATA_TRY_WITHIN("rehearsal", Rehearse(*this, VmDirectory() + "/rehearsal"));
    phases.End("rehearsal");
    phases.Log("machine prepared", origin_);
    prepared_ = KATA_TRY(PreparedKey(config_.config));
    return Advance(MachineState::kPreparing, MachineState::kWaiting);
  }();
  if (!prepared) {
    Error error = Explain(std::move(prepared).error());
    Stop();
    return std::unexpected(std::move(error));
  }
  if (template_wanted_) BuildTemplate();
  return {};
}

Result<std::string> Machine::PreparedKey(const config::Config& config) {
  const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config.runtime.hypervisor_name));
  const auto accelerator = KATA_TRY(hypervisor::ChooseAccelerator(config.hypervisor.accelerator));
  std::string key = KATA_TRY(TemplateKey(config, vmm, accelerator.kind, false));
  key += fmt::format("\n{} {} {} {} {} {}", config.hypervisor.shared_fs,
                     config.hypervisor.virtio_fs_daemon, config.hypervisor.virtio_fs_cache,
                     config.hypervisor.virtio_fs_queue_size, config.agent.request_timeout_ms,
                     config.factory.enable_template);
  for (const std::string& argument : config.hypervisor.virtio_fs_extra_args) key += " " + argument;
  return key;
}

void Machine::DropPrepared() {
  prepared_.clear();
  Stop();
  UndoStart();
  name_ = identity_.sandbox_id;
}

std::vector<pid_t> Machine::PartPids() const {
  std::vector<pid_t> pids = {vm_->pid()};
  if (virtiofsd_) {
    const std::vector<pid_t> daemons = sys::WithDescendants(virtiofsd_->pid());
    pids.insert(pids.end(), daemons.begin(), daemons.end());
  }
  return pids;
}

void Machine::SetOomScore(int score) const {
  std::vector<pid_t> pids = PartPids();
  pids.push_back(::getpid());
  for (const pid_t pid : pids) {
    (void)sys::WriteControl(fmt::format("/proc/{}/oom_score_adj", pid), std::to_string(score));
  }
}

Result<void> Machine::TakePrepared(const MachineSize& containers,
                                   const agent::CreateSandboxRequest& sandbox,
                                   const std::string& network) {
  if (!alive()) return Fail(Code::kUnavailable, "it has ended");
  KATA_TRY(CheckCpuHotplug(size_.vcpus, TotalSize(config().hypervisor, containers).vcpus));
  origin_ = "warm";
  Phases phases;
  if (!network.empty()) {
    std::shared_ptr<GuestNetwork> wanted = KATA_TRY(host_.open_network(network));
    const GuestNetwork::Options options = KATA_TRY(NetworkOptions(config(), true));
    KATA_TRY(wanted->TakeNic(*network_, options, NetworkSaver()));
    const std::lock_guard lock(mutex_);
    network_ = std::move(wanted);
  }
  phases.End("nics");
  // It may have waited for long: its clock is not exact.
  KATA_TRY(agent_->Renew(false, Deadline::After(std::chrono::seconds(10))));
  phases.End("renew");
  KATA_TRY(EnterSandbox(containers, sandbox, phases));
  phases.Log("machine booted", origin_);
  boot_phases_ = phases.list();
  return {};
}

}  // namespace kata::sandbox
