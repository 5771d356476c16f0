// SPDX-License-Identifier: Apache-2.0
//
// Starting a machine: from nothing, or as a copy of the template.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/hypervisor/accelerator.h"
#include "host/hypervisor/agent_channel.h"
#include "host/hypervisor/registry.h"
#include "host/machine/machine.h"
#include "host/machine/template_build.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

}  // namespace

Result<void> Machine::StartGuest(const MachineSize& size, Phases& phases) {
  const auto patience = seconds(config().agent.dial_timeout_s);
  KATA_TRY(sys::MakeDirs(VmDirectory(), 0700));
  const hypervisor::AcceleratorChoice accelerator =
      KATA_TRY(hypervisor::ChooseAccelerator(config().hypervisor.accelerator));
  log::Info("accelerator", {{"kind", accelerator.name()}, {"reason", accelerator.reason}});
  accelerator_ = accelerator.kind;
  origin_ = "boot";
  const uint32_t of_template = TotalSize(config().hypervisor, {}).vcpus;
  if (const auto grows = CheckCpuHotplug(of_template, size.vcpus); !grows) {
    log::Info("the guest boots with its processors", {{"reason", grows.error().message()}});
  } else if (auto copy = FindTemplate()) {
    phases.End("template");
    const std::string name = copy->template_name();
    auto started = StartCopy(*std::move(copy), Deadline::After(patience), phases);
    if (started) {
      origin_ = "template";
      return {};
    }
    // Killed meanwhile, it says nothing about the template either.
    KATA_TRY(CheckStarting());
    log::Warn("a copy of the template does not start; the guest boots",
              {{"error", Explain(started.error()).message()}});
    UndoStart();
    // A host without memory or time says nothing about the template.
    const Code code = started.error().code();
    template_wanted_ = code != Code::kResourceExhausted && code != Code::kDeadlineExceeded;
    if (template_wanted_) {
      LogIfFailed(factory::TemplateStore(config().factory.template_path).Remove(name));
    }
  }
  return StartVm(size, Deadline::After(patience), phases);
}

Result<void> Machine::EnterSandbox(const MachineSize& containers,
                                   const agent::CreateSandboxRequest& sandbox, Phases& phases) {
  KATA_TRY(agent_->CreateSandbox(sandbox));
  phases.End("create_sandbox");
  if (network_) network_->Follow(loop_, identity_.on_network);
  KATA_TRY(SyncNetwork());
  phases.End("network");
  Grow(containers);
  phases.End("grow");
  return {};
}

Result<void> Machine::StartVm(const MachineSize& size, Deadline deadline, Phases& phases) {
  hypervisor::VmSpec spec = PlanVm(name_, config(), size, accelerator_);
  KATA_TRY(StartVmm(std::move(spec), deadline, phases));
  KATA_TRY(ConnectAgent(deadline, 1));
  KATA_TRY(agent_->WaitUntilServing(deadline));
  phases.End("guest_boot");
  return {};
}

Result<void> Machine::StartCopy(MemoryCopy copy, Deadline deadline, Phases& phases) {
  hypervisor::VmSpec spec =
      PlanVm(name_, config(), TotalSize(config().hypervisor, {}), accelerator_);
  spec.restored = true;
  spec.memory.file = copy.TakeFile();
  KATA_TRY(StartVmm(std::move(spec), deadline, phases));
  KATA_TRY(copy.Finish());
  phases.End("memory");
  const std::string saved = VmDirectory() + "/state";
  Rollback cleanup;
  cleanup.Add([&] { LogIfFailed(sys::RemoveTree(saved)); });
  KATA_TRY(copy.WriteState(saved));
  KATA_TRY_WITHIN("restore", vm_->Restore(saved, deadline));
  cleanup.Run();
  phases.End("restore");
  if (shares_files()) {
    KATA_TRY(vm_->Attach(Share(), deadline));
    phases.End("share");
  }
  KATA_TRY(ConnectAgent(deadline, agent::AgentClient::kFirstStreamOfCopy));
  KATA_TRY_WITHIN("renew", agent_->Renew(nics_ > 1, deadline));
  phases.End("renew");
  return {};
}

Result<void> Machine::StartVmm(hypervisor::VmSpec spec, Deadline deadline, Phases& phases) {
  if (shares_files()) {
    KATA_TRY(StartVirtiofsd(deadline));
    phases.End("virtiofsd");
  }
  const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config().runtime.hypervisor_name));
  spec.agent =
      KATA_TRY(hypervisor::ChooseAgentChannel(config().hypervisor.agent_channel, vmm.capabilities));
  KATA_TRY(CheckStarting());
  {
    std::shared_ptr<hypervisor::Hypervisor> vm =
        host_.make_vmm ? host_.make_vmm(loop_) : vmm.make(loop_);
    const std::lock_guard lock(mutex_);
    vm_.swap(vm);
  }
  KATA_TRY(AddNics(&spec));
  nics_ = spec.devices.size();
  // A copy gets it when it runs: no VM is saved with one.
  if (shares_files() && !spec.restored) spec.devices.emplace_back(Share());
  phases.End("nics");

  vm_->OnExit([this, number = ++vm_number_](const hypervisor::VmExit& exit) {
    if (number == vm_number_) OnVmExit(exit);
  });
  {
    const std::lock_guard lock(grow_mutex_);
    boot_mib_ = spec.memory.boot_mib;
    size_ = {.vcpus = spec.cpus.boot, .memory_mib = boot_mib_};
    size_report_.reset();
  }
  KATA_TRY_WITHIN(fmt::format("start \"{}\"", config().hypervisor.path),
                  vm_->Start(std::move(spec), deadline));
  pid_ = vm_->pid();
  // Given up before there was a process to kill.
  KATA_TRY(CheckStarting());
  {
    // It may have ended before there was a VMM to kill.
    const std::lock_guard lock(mutex_);
    if (!virtiofsd_obituary_.empty()) return Fail(Code::kUnavailable, virtiofsd_obituary_);
  }
  Record(vm_->pid(), ProcessRole::kVmm);
  phases.End("vmm");
  return {};
}

hypervisor::VhostUserFs Machine::Share() {
  hypervisor::VhostUserFs share;
  share.id = "share";
  share.tag = storage::SharedDirectory::kTag;
  share.fd = virtiofsd_->TakeConnection();
  share.queue_size = static_cast<uint32_t>(config().hypervisor.virtio_fs_queue_size);
  return share;
}

void Machine::UndoStart() {
  ++vm_number_;
  if (vm_) vm_->Stop(milliseconds(0));
  StopVirtiofsd();
  {
    const std::lock_guard lock(mutex_);
    if (agent_) agent_->Close(Error(Code::kUnavailable, "the machine begins anew"));
    end_reason_.clear();
    virtiofsd_obituary_.clear();
  }
  if (network_) network_->ForgetNics();
  pid_ = 0;
}

std::optional<MemoryCopy> Machine::FindTemplate() {
  template_wanted_ = false;
  if (!CanBeCopied(config())) return std::nullopt;
  const factory::TemplateStore store(config().factory.template_path);
  std::string name;
  auto copy = [&]() -> Result<MemoryCopy> {
    const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config().runtime.hypervisor_name));
    const auto channel = KATA_TRY(
        hypervisor::ChooseAgentChannel(config().hypervisor.agent_channel, vmm.capabilities));
    const bool vsock = std::holds_alternative<hypervisor::VsockChannel>(channel);
    const std::string key = KATA_TRY(TemplateKey(config(), vmm, accelerator_, vsock));
    name = factory::TemplateStore::NameOf(key);
    template_wanted_ = !store.FailedLately(key);
    auto found = KATA_TRY(store.Open(key));
    template_wanted_ = false;
    return MemoryCopy::Begin(std::move(found), shares_files());
  }();
  if (copy) return *std::move(copy);
  if (copy.error().code() == Code::kDataLoss) {
    log::Warn("the template is damaged; the guest boots, and the template is made anew",
              {{"error", copy.error().message()}});
    LogIfFailed(store.Remove(name));
  } else if (copy.error().code() != Code::kNotFound) {
    log::Warn("no template", {{"error", copy.error().message()}});
    template_wanted_ = false;
  }
  return std::nullopt;
}

void Machine::BuildTemplate() {
  template_wanted_ = false;
  const auto started =
      StartTemplateBuild(config_, cgroup_ ? cgroup_->before() : std::vector<std::string>());
  if (!started) log::Warn("no template is made", {{"error", started.error().message()}});
}

GuestNetwork::Save Machine::NetworkSaver() {
  return [this](std::vector<NetworkEntry> entries) {
    {
      const std::lock_guard lock(mutex_);
      record_.networks = std::move(entries);
    }
    return Save();
  };
}

Result<void> Machine::AddNics(hypervisor::VmSpec* spec) {
  if (!network_) return {};
  spec->network_namespace = KATA_TRY(network_->DuplicateNamespace());
  const GuestNetwork::Options options =
      KATA_TRY(NetworkOptions(config(), spec->restored || state() == MachineState::kPreparing));
  auto nics = KATA_TRY_WITHIN("network", network_->MakeNics(options, NetworkSaver()));
  for (hypervisor::Nic& nic : nics) spec->devices.push_back(std::move(nic));
  return {};
}

Result<void> Machine::StartVirtiofsd(Deadline deadline) {
  const std::string served = KATA_TRY(WithShare(
      [](storage::SharedDirectory& share) -> Result<std::string> { return share.served(); }));
  virtiofsd_ =
      KATA_TRY(storage::Virtiofsd::Start({.program = config().hypervisor.virtio_fs_daemon,
                                          .shared_directory = served,
                                          .run_directory = VmDirectory(),
                                          .cache = config().hypervisor.virtio_fs_cache,
                                          .extra_args = config().hypervisor.virtio_fs_extra_args},
                                         deadline));
  Record(virtiofsd_->pid(), ProcessRole::kVirtiofsd);
  KATA_TRY(WithShare([&](storage::SharedDirectory& share) -> Result<void> {
    share.ServedBy(virtiofsd_->pid());
    return {};
  }));
  WatchVirtiofsd();
  return {};
}

// Without its files the guest cannot go on.
void Machine::WatchVirtiofsd() {
  const int pidfd = virtiofsd_->pidfd();
  loop_.Post([this, pidfd] {
    const auto added = loop_.Add(pidfd, EPOLLIN, [this, pidfd](uint32_t) {
      loop_.Remove(pidfd);
      if (const MachineState now = state();
          now == MachineState::kEnding || now == MachineState::kNone) {
        return;
      }
      {
        const std::lock_guard lock(mutex_);
        virtiofsd_obituary_ = virtiofsd_->ExitReason();
      }
      KillSoon();
    });
    LogIfFailed(added);
  });
}

Result<void> Machine::ConnectAgent(Deadline deadline, uint32_t first_stream) {
  sys::UniqueFd channel = KATA_TRY(vm_->ConnectAgent(deadline));
  auto agent = KATA_TRY(agent::AgentClient::Create(
      loop_, std::move(channel), milliseconds(config().agent.request_timeout_ms),
      [this, number = vm_number_.load()](Error reason) {
        if (!alive() || number != vm_number_) return;
        log::Error("the guest's agent has gone", {{"reason", reason.message()}});
        KillSoon();
      },
      first_stream));
  const std::lock_guard lock(mutex_);
  agent_ = std::move(agent);
  if (!end_reason_.empty()) agent_->Close(Error(Code::kUnavailable, end_reason_));
  return {};
}

}  // namespace kata::sandbox
