// SPDX-License-Identifier: Apache-2.0
#include "host/machine/guest_start.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/hypervisor/accelerator.h"
#include "host/hypervisor/agent_channel.h"
#include "host/hypervisor/registry.h"
#include "host/machine/growth.h"
#include "host/plan/vm_plan.h"
#include "host/storage/share.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kRenewTime = seconds(10);

Deadline StartDeadline(const GuestSetting& setting) {
  return Deadline::After(seconds(setting.config->agent.dial_timeout_s));
}

GuestNetwork::Save NetworkSaver(const GuestSetting& setting) {
  return [&record = setting.record](std::vector<NetworkEntry> entries) {
    return record.SetNetworks(std::move(entries));
  };
}

// In the order of a saved machine, by which those that were there from its start have their places.
void SortDevices(const hypervisor::MachineShape& machine, hypervisor::VmSpec* spec) {
  const auto rank = [&](const hypervisor::Device& device) {
    const std::string& id =
        std::visit([](const auto& one) -> const std::string& { return one.id; }, device);
    return std::ranges::find(machine.devices, id, &hypervisor::DeviceShape::id) -
           machine.devices.begin();
  };
  std::ranges::stable_sort(spec->devices, {}, rank);
}

// The steps that all beginnings of a VM have in common.
class Start {
 public:
  Start(const GuestSetting& setting, std::unique_ptr<GuestNetwork> network,
        hypervisor::AcceleratorKind accelerator, Phases& phases)
      : setting_(setting),
        config_(*setting.config),
        phases_(phases),
        guest_(std::make_unique<StartedGuest>()) {
    guest_->accelerator = accelerator;
    guest_->network = std::move(network);
    guest_->processes = std::make_unique<VmProcesses>(setting.loop);
  }

  // Runs `steps` with the guest watched, and hands it over.
  template <class Steps>
  Result<std::unique_ptr<StartedGuest>> Run(Steps steps) {
    {
      const StopWatch watch(setting_.stop, *guest_);
      KATA_TRY(CheckSteps(setting_, *guest_, steps()));
    }
    return std::move(guest_);
  }

  // Instead of what the configuration says: channel and NICs as a saved machine had them.
  void LikeSaved(const hypervisor::MachineShape& machine) { saved_ = &machine; }
  Result<void> StartVmm(hypervisor::VmSpec spec, Deadline deadline);
  Result<void> ConnectAgent(Deadline deadline, uint32_t first_stream);
  hypervisor::VhostUserFs Share();
  bool shares_files() const { return !setting_.shared_directory.empty(); }
  size_t nics() const { return nics_; }
  VmProcesses& processes() { return *guest_->processes; }
  void SetOrigin(std::string origin) { guest_->origin = std::move(origin); }
  void SetFirstDisk(unsigned number) { guest_->first_disk = number; }

 private:
  Result<void> StartVirtiofsd(Deadline deadline);
  Result<void> AddNics(hypervisor::VmSpec* spec);

  const GuestSetting& setting_;
  const config::Config& config_;
  Phases& phases_;
  std::unique_ptr<StartedGuest> guest_;
  const hypervisor::MachineShape* saved_ = nullptr;
  size_t nics_ = 0;
};

Result<void> Start::StartVirtiofsd(Deadline deadline) {
  // Until it is known, what it has seen of a mount is not.
  if (setting_.served_by) KATA_TRY(setting_.served_by(-1));
  KATA_TRY(processes().StartVirtiofsd({.program = config_.hypervisor.virtio_fs_daemon,
                                       .shared_directory = setting_.shared_directory,
                                       .run_directory = setting_.directory,
                                       .cache = config_.hypervisor.virtio_fs_cache,
                                       .trusted_attributes = config_.runtime.rootfs_layers,
                                       .extra_args = config_.hypervisor.virtio_fs_extra_args},
                                      deadline));
  setting_.record.AddProcess(processes().virtiofsd_pid(), ProcessRole::kVirtiofsd);
  if (setting_.served_by) KATA_TRY(setting_.served_by(processes().virtiofsd_pid()));
  phases_.End("virtiofsd");
  return {};
}

Result<void> Start::AddNics(hypervisor::VmSpec* spec) {
  if (!guest_->network) return {};
  spec->network_namespace = KATA_TRY(guest_->network->DuplicateNamespace());
  GuestNetwork::Options options =
      KATA_TRY(NetworkOptions(config_, spec->restored || setting_.for_nobody));
  if (saved_ != nullptr) options.saved = NicsOf(*saved_);
  auto nics =
      KATA_TRY_WITHIN("network", guest_->network->MakeNics(options, NetworkSaver(setting_)));
  for (hypervisor::Nic& nic : nics) spec->devices.push_back(std::move(nic));
  return {};
}

hypervisor::VhostUserFs Start::Share() {
  hypervisor::VhostUserFs share;
  share.id = "share";
  share.tag = storage::SharedDirectory::kTag;
  share.fd = processes().TakeShare();
  share.queue_size = static_cast<uint32_t>(config_.hypervisor.virtio_fs_queue_size);
  return share;
}

Result<void> Start::StartVmm(hypervisor::VmSpec spec, Deadline deadline) {
  KATA_TRY(CheckWanted(setting_.stop));
  KATA_TRY(sys::MakeDirs(setting_.directory, 0700));
  if (shares_files()) KATA_TRY(StartVirtiofsd(deadline));
  const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config_.runtime.hypervisor_name));
  std::string_view channel = config_.hypervisor.agent_channel;
  if (saved_ != nullptr) channel = saved_->vsock ? "vsock" : "virtio-serial";
  spec.agent = KATA_TRY(hypervisor::ChooseAgentChannel(channel, vmm.capabilities));
  KATA_TRY(CheckWanted(setting_.stop));
  KATA_TRY(AddNics(&spec));
  if (saved_ != nullptr) SortDevices(*saved_, &spec);
  nics_ = spec.devices.size();
  // A copy gets it when it runs: no VM is saved with one.
  if (shares_files() && !spec.restored) spec.devices.emplace_back(Share());
  phases_.End("nics");
  guest_->began_with = {.vcpus = spec.cpus.boot, .memory_mib = spec.memory.boot_mib};
  guest_->has = guest_->began_with;
  guest_->has.vcpus += spec.cpus.plugged;
  for (const hypervisor::MemoryModule& module : spec.memory.modules) {
    guest_->has.memory_mib += module.size_mib;
  }
  auto vm =
      setting_.host.make_vmm ? setting_.host.make_vmm(setting_.loop) : vmm.make(setting_.loop);
  KATA_TRY_WITHIN(fmt::format("start \"{}\"", config_.hypervisor.path),
                  processes().StartVmm(std::move(vm), std::move(spec), deadline));
  // Given up before there was a process to kill.
  KATA_TRY(CheckWanted(setting_.stop));
  setting_.record.AddProcess(processes().vm()->pid(), ProcessRole::kVmm);
  phases_.End("vmm");
  return {};
}

Result<void> Start::ConnectAgent(Deadline deadline, uint32_t first_stream) {
  return processes().ConnectAgent(milliseconds(config_.agent.request_timeout_ms), first_stream,
                                  deadline);
}

// A copy of the template, or none: there is none yet, or it is damaged and will be made anew.
std::optional<MemoryCopy> FindTemplate(const GuestSetting& setting,
                                       hypervisor::AcceleratorKind accelerator,
                                       bool* template_wanted) {
  const config::Config& config = *setting.config;
  if (!CanBeCopied(config)) return std::nullopt;
  const factory::TemplateStore store(config.factory.template_path);
  std::string name;
  auto copy = [&]() -> Result<MemoryCopy> {
    const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config.runtime.hypervisor_name));
    const auto channel =
        KATA_TRY(hypervisor::ChooseAgentChannel(config.hypervisor.agent_channel, vmm.capabilities));
    const bool vsock = std::holds_alternative<hypervisor::VsockChannel>(channel);
    const std::string key = KATA_TRY(TemplateKey(config, vmm, accelerator, vsock));
    name = factory::TemplateStore::NameOf(key);
    *template_wanted = !store.FailedLately(key);
    auto found = KATA_TRY(store.Open(key));
    *template_wanted = false;
    return MemoryCopy::Begin(std::move(found), config.hypervisor.shares_files());
  }();
  if (copy) return *std::move(copy);
  if (copy.error().code() == Code::kDataLoss) {
    log::Warn("the template is damaged; the guest boots, and the template is made anew",
              {{"error", copy.error().message()}});
    LogIfFailed(store.Remove(name));
  } else if (copy.error().code() != Code::kNotFound) {
    log::Warn("no template", {{"error", copy.error().message()}});
    *template_wanted = false;
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<GuestNetwork>> OpenNetwork(const GuestSetting& setting) {
  return setting.host.open_network(
      setting.network,
      KATA_TRY(network::ModelByName(setting.config->runtime.internetworking_model)));
}

std::unexpected<Error> Unwanted() {
  return Fail(Code::kCancelled, "the machine is no longer wanted");
}

Result<void> CheckWanted(const std::stop_token& stop) {
  if (!stop.stop_requested()) return {};
  return Unwanted();
}

Result<void> CheckSteps(const GuestSetting& setting, const StartedGuest& guest,
                        Result<void> steps) {
  // What has failed because of that is no error of its own.
  KATA_TRY(CheckWanted(setting.stop));
  if (steps) return {};
  return std::unexpected(guest.processes->ExplainStart(std::move(steps).error()));
}

Result<std::unique_ptr<StartedGuest>> BootGuest(const GuestSetting& setting,
                                                std::unique_ptr<GuestNetwork> network,
                                                hypervisor::AcceleratorKind accelerator,
                                                const MachineSize& size, Phases& phases) {
  const Deadline deadline = StartDeadline(setting);
  Start start(setting, std::move(network), accelerator, phases);
  start.SetOrigin("boot");
  return start.Run([&]() -> Result<void> {
    KATA_TRY(start.StartVmm(PlanVm(setting.name, *setting.config, size, accelerator), deadline));
    KATA_TRY(start.ConnectAgent(deadline, 1));
    KATA_TRY(start.processes().agent()->WaitUntilServing(deadline));
    phases.End("guest_boot");
    return {};
  });
}

Result<std::unique_ptr<StartedGuest>> CopyGuest(const GuestSetting& setting,
                                                std::unique_ptr<GuestNetwork> network,
                                                hypervisor::AcceleratorKind accelerator,
                                                MemoryCopy copy, Phases& phases) {
  const Deadline deadline = StartDeadline(setting);
  Start start(setting, std::move(network), accelerator, phases);
  start.SetOrigin("template");
  return start.Run([&]() -> Result<void> {
    hypervisor::VmSpec spec = PlanVm(setting.name, *setting.config,
                                     TotalSize(setting.config->hypervisor, {}), accelerator);
    spec.restored = true;
    spec.memory.file = copy.TakeFile();
    KATA_TRY(start.StartVmm(std::move(spec), deadline));
    KATA_TRY(copy.Finish());
    phases.End("memory");
    const std::string saved = setting.directory + "/state";
    Rollback cleanup;
    cleanup.Add([&] { LogIfFailed(sys::RemoveTree(saved)); });
    KATA_TRY(copy.WriteState(saved));
    KATA_TRY_WITHIN("restore", start.processes().vm()->Restore(saved, deadline));
    KATA_TRY(start.processes().vm()->Resume(deadline));
    cleanup.Run();
    phases.End("restore");
    if (start.shares_files()) {
      KATA_TRY(start.processes().vm()->Attach(start.Share(), deadline));
      phases.End("share");
    }
    KATA_TRY(start.ConnectAgent(deadline, agent::AgentClient::kFirstStreamOfCopy));
    KATA_TRY_WITHIN("renew", start.processes().agent()->Renew(
                                 {.look_for_devices = start.nics() > 1}, deadline));
    phases.End("renew");
    return {};
  });
}

Result<std::unique_ptr<StartedGuest>> RestoreGuest(const GuestSetting& setting,
                                                   std::unique_ptr<GuestNetwork> network,
                                                   SavedGuest saved, Phases& phases) {
  const Deadline deadline = StartDeadline(setting);
  const hypervisor::MachineShape& machine = saved.snapshot->manifest().machine;
  Start start(setting, std::move(network), machine.accelerator, phases);
  start.SetOrigin("snapshot");
  start.SetFirstDisk(NextDiskNumber(machine));
  start.LikeSaved(machine);
  return start.Run([&]() -> Result<void> {
    hypervisor::VmSpec spec =
        PlanVm(setting.name, *setting.config, TotalSize(setting.config->hypervisor, {}),
               machine.accelerator);
    KATA_TRY(saved.snapshot->BeginMemory(&spec));
    for (hypervisor::Disk& disk : KATA_TRY(DisksOf(machine, saved.disks))) {
      spec.devices.push_back(std::move(disk));
    }
    KATA_TRY(start.StartVmm(std::move(spec), deadline));
    KATA_TRY(saved.snapshot->FinishMemory());
    phases.End("memory");
    const std::string folder = setting.directory + "/state";
    Rollback cleanup;
    cleanup.Add([&] { LogIfFailed(sys::RemoveTree(folder)); });
    KATA_TRY(saved.snapshot->WriteState(folder));
    KATA_TRY_WITHIN("restore", start.processes().vm()->Restore(folder, deadline));
    KATA_TRY(start.processes().vm()->Resume(deadline));
    cleanup.Run();
    phases.End("restore");
    KATA_TRY(start.ConnectAgent(deadline, saved.first_stream));
    start.processes().agent()->BeginFrozen();
    KATA_TRY_WITHIN("renew", start.processes().agent()->Renew(saved.renewal, deadline));
    phases.End("renew");
    return {};
  });
}

Result<std::unique_ptr<StartedGuest>> AdoptGuest(const GuestSetting& setting,
                                                 std::unique_ptr<StartedGuest> waiting,
                                                 Phases& phases) {
  const StopWatch watch(setting.stop, *waiting);
  const auto adopt = [&]() -> Result<void> {
    if (!waiting->processes->alive()) return Fail(Code::kUnavailable, "it has ended");
    const GuestNetwork::Options options = KATA_TRY(NetworkOptions(*setting.config, true));
    if (setting.network.empty()) {
      if (waiting->network) KATA_TRY(waiting->network->SetEgress(options.egress));
    } else {
      auto wanted = KATA_TRY(OpenNetwork(setting));
      if (wanted && waiting->network) {
        KATA_TRY(wanted->TakeNic(*waiting->network, options, NetworkSaver(setting)));
      }
      waiting->network = std::move(wanted);
    }
    phases.End("nics");
    // It may have waited for long: its clock is not exact.
    KATA_TRY(waiting->processes->agent()->Renew({}, Deadline::After(kRenewTime)));
    phases.End("renew");
    return {};
  };
  KATA_TRY(CheckSteps(setting, *waiting, adopt()));
  waiting->origin = "warm";
  return waiting;
}

Result<std::unique_ptr<StartedGuest>> StartGuest(const GuestSetting& setting,
                                                 const MachineSize& size, Phases& phases,
                                                 bool* template_wanted) {
  *template_wanted = false;
  const config::Config& config = *setting.config;
  auto network = KATA_TRY(OpenNetwork(setting));
  const hypervisor::AcceleratorChoice accelerator =
      KATA_TRY(hypervisor::ChooseAccelerator(config.hypervisor.accelerator));
  log::Info("accelerator", {{"kind", accelerator.name()}, {"reason", accelerator.reason}});
  const uint32_t of_template = TotalSize(config.hypervisor, {}).vcpus;
  if (const auto grows = CheckCpuHotplug(config, accelerator.kind, of_template, size.vcpus);
      !grows) {
    log::Info("the guest boots with its processors", {{"reason", grows.error().message()}});
  } else if (auto copy = FindTemplate(setting, accelerator.kind, template_wanted)) {
    phases.End("template");
    const std::string name = copy->template_name();
    auto started =
        CopyGuest(setting, std::move(network), accelerator.kind, *std::move(copy), phases);
    if (started) return started;
    // Killed meanwhile, it says nothing about the template either.
    KATA_TRY(CheckWanted(setting.stop));
    log::Warn("a copy of the template does not start; the guest boots",
              {{"error", started.error().message()}});
    // A host without memory or time says nothing about the template.
    const Code code = started.error().code();
    *template_wanted = code != Code::kResourceExhausted && code != Code::kDeadlineExceeded;
    if (*template_wanted) {
      LogIfFailed(factory::TemplateStore(config.factory.template_path).Remove(name));
    }
    network = KATA_TRY(OpenNetwork(setting));
  }
  return BootGuest(setting, std::move(network), accelerator.kind, size, phases);
}

}  // namespace kata::sandbox
