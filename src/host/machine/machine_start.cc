// SPDX-License-Identifier: Apache-2.0
//
// How a machine comes to its guest: prepared for nobody yet, or opened and booted for a sandbox.
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/host_files.h"
#include "host/hypervisor/accelerator.h"
#include "host/hypervisor/registry.h"
#include "host/machine/background.h"
#include "host/machine/machine.h"
#include "host/machine/rehearsal.h"
#include "host/machine/template_build.h"

namespace kata::sandbox {

Result<std::string> Machine::PreparedKey(const config::Config& config) {
  const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config.runtime.hypervisor_name));
  const auto accelerator = KATA_TRY(hypervisor::ChooseAccelerator(config.hypervisor.accelerator));
  std::string key = KATA_TRY(TemplateKey(config, vmm, accelerator.kind, false));
  key += fmt::format("\n{} {} {} {} {} {}", config.hypervisor.shared_fs,
                     config.hypervisor.virtio_fs_daemon, config.hypervisor.virtio_fs_cache,
                     config.hypervisor.virtio_fs_queue_size, config.agent.request_timeout_ms,
                     config.factory.enable_template);
  // virtiofsd has to begin with what upper directories need.
  key += fmt::format(" {}", config.runtime.rootfs_layers);
  for (const std::string& argument : config.hypervisor.virtio_fs_extra_args) key += " " + argument;
  return key;
}

Result<GuestSetting> Machine::Setting(const std::string& network, std::stop_token stop) {
  std::string shared;
  if (shares_files()) {
    shared = KATA_TRY(WithShare(
        [](storage::SharedDirectory& share) -> Result<std::string> { return share.served(); }));
  }
  auto config = this->config();
  const MutexLock lock(mutex_);
  return GuestSetting{
      .loop = loop_,
      .host = host_,
      .record = record_,
      .config = std::move(config),
      .name = name_,
      .directory = VmDirectory(),
      .shared_directory = std::move(shared),
      .served_by =
          [this](pid_t daemon) {
            return WithShare([daemon](storage::SharedDirectory& share) -> Result<void> {
              share.ServedBy(daemon);
              return {};
            });
          },
      .network = network,
      .for_nobody = state_ == MachineState::kPreparing,
      .stop = std::move(stop)};
}

Result<void> Machine::Prepare(const config::Loaded& config, std::function<void()> on_end) {
  {
    const MutexLock lock(mutex_);
    identity_.on_end = std::move(on_end);
  }
  KATA_TRY(Open(config));
  std::stop_token stop = KATA_TRY(BeginStart(MachineState::kOpen, MachineState::kPreparing));
  bool template_wanted = false;
  const auto prepared = [&]() -> Result<void> {
    const GuestSetting setting = KATA_TRY(Setting("", std::move(stop)));
    auto started = KATA_TRY(StartWaiting(setting, &template_wanted));
    std::string key = KATA_TRY(PreparedKey(config.config));
    return KeepWaiting(std::move(started), std::move(key));
  }();
  EndStart();
  if (!prepared) {
    Stop();
    return prepared;
  }
  if (template_wanted) BuildTemplate();
  return {};
}

Result<std::unique_ptr<StartedGuest>> Machine::StartWaiting(const GuestSetting& setting,
                                                            bool* template_wanted) {
  Phases phases;
  auto started = KATA_TRY(
      StartGuest(setting, TotalSize(setting.config->hypervisor, {}), phases, template_wanted));
  {
    const StopWatch watch(setting.stop, *started);
    auto rehearsed =
        Rehearse(*this, *started->processes->agent(), setting.directory + "/rehearsal");
    if (!rehearsed) rehearsed = std::unexpected(std::move(rehearsed).error().Within("rehearsal"));
    KATA_TRY(CheckSteps(setting, *started, std::move(rehearsed)));
  }
  phases.End("rehearsal");
  phases.Log("machine prepared", started->origin);
  return started;
}

Result<void> Machine::Open(const config::Loaded& config) {
  if (is_open() || KATA_TRY(OpenWaiting(config))) return {};
  return OpenAnew(config);
}

Result<bool> Machine::OpenWaiting(const config::Loaded& config) {
  std::string key_of_waiting;
  Identity identity;
  {
    const MutexLock lock(mutex_);
    if (state_ != MachineState::kWaiting) return false;
    key_of_waiting = waiting_key_;
    identity = identity_;
  }
  const auto key = PreparedKey(config.config);
  const bool lives = alive();
  if (!lives || !key || *key != key_of_waiting) {
    log::Warn("the warm machine is not used",
              {{"reason", lives ? "it has another configuration" : "it has ended"}});
    Stop();
    const MutexLock lock(mutex_);
    name_ = identity.sandbox_id;
    return false;
  }
  KATA_TRY(record_.Rename(identity.sandbox_id, identity.owner));
  const MutexLock lock(mutex_);
  if (state_ != MachineState::kWaiting) return Unwanted();
  config_ = std::make_shared<config::Loaded>(config);
  state_ = MachineState::kOpen;
  return true;
}

Result<void> Machine::OpenAnew(const config::Loaded& config) {
  KATA_TRY(config::RequireFiles(config));
  Identity identity;
  std::string name;
  std::string directory;
  {
    const MutexLock lock(mutex_);
    config_ = std::make_shared<config::Loaded>(config);
    state_ = MachineState::kOpen;
    last_is_of_now_ = false;
    identity = identity_;
    name = name_;
    directory = VmDirectory();
  }
  auto opened = record_.Begin(identity.sandbox_id, identity.owner,
                              {storage::SharedDirectory::RootOf(name), directory});
  if (opened && shares_files()) {
    opened = [&]() -> Result<void> {
      auto share = KATA_TRY(storage::SharedDirectory::Create(name));
      const MutexLock lock(share_mutex_);
      share_ = std::move(share);
      return {};
    }();
  }
  if (!opened) Stop();
  return opened;
}

Result<void> Machine::Boot(const MachineSize& containers,
                           const agent::CreateSandboxRequest& sandbox, const std::string& network) {
  std::stop_token stop = KATA_TRY(BeginStart(MachineState::kOpen, MachineState::kBooting));
  bool template_wanted = false;
  const auto booted = [&]() -> Result<void> {
    std::unique_ptr<StartedGuest> waiting;
    {
      const MutexLock lock(mutex_);
      waiting = std::move(waiting_);
    }
    KATA_TRY(EnterCgroup(waiting.get()));
    const GuestSetting setting = KATA_TRY(Setting(network, std::move(stop)));
    return Keep(
        KATA_TRY(MakeGuest(setting, std::move(waiting), containers, sandbox, &template_wanted)));
  }();
  EndStart();
  if (!booted) {
    Stop();
    return booted;
  }
  if (template_wanted) BuildTemplate();
  return {};
}

Result<void> Machine::Restore(SavedGuest saved, const MachineSize& containers,
                              const std::string& network) {
  std::stop_token stop = KATA_TRY(BeginStart(MachineState::kOpen, MachineState::kBooting));
  const auto restored = [&]() -> Result<void> {
    std::unique_ptr<StartedGuest> waiting;
    {
      const MutexLock lock(mutex_);
      waiting = std::move(waiting_);
    }
    waiting.reset();
    KATA_TRY(EnterCgroup(nullptr));
    const GuestSetting setting = KATA_TRY(Setting(network, std::move(stop)));
    Phases phases;
    auto in = KATA_TRY(OpenNetwork(setting));
    auto started = KATA_TRY(RestoreGuest(setting, std::move(in), std::move(saved), phases));
    auto made = KATA_TRY(EnterSandbox(setting, std::move(started), containers, nullptr, phases));
    return Keep(std::move(made));
  }();
  EndStart();
  if (!restored) Stop();
  return restored;
}

Result<void> Machine::EnterCgroup(const StartedGuest* waiting) {
  CgroupMove::Goal goal;
  {
    const MutexLock lock(mutex_);
    goal = cgroup_goal_;
  }
  auto move = KATA_TRY(CgroupMove::Begin(
      goal, waiting != nullptr ? waiting->processes->pids() : std::vector<pid_t>(), record_));
  const MutexLock lock(mutex_);
  cgroup_ = std::move(move);
  return {};
}

Result<Machine::Made> Machine::MakeGuest(const GuestSetting& setting,
                                         std::unique_ptr<StartedGuest> waiting,
                                         const MachineSize& containers,
                                         const agent::CreateSandboxRequest& sandbox,
                                         bool* template_wanted) {
  const MachineSize size = TotalSize(setting.config->hypervisor, containers);
  if (waiting) {
    const auto made = [&]() -> Result<Made> {
      KATA_TRY(CheckCpuHotplug(*setting.config, waiting->accelerator, waiting->began_with.vcpus,
                               size.vcpus));
      Phases phases;
      auto adopted = KATA_TRY(AdoptGuest(setting, std::move(waiting), phases));
      return EnterSandbox(setting, std::move(adopted), containers, &sandbox, phases);
    }();
    if (made) return made;
    KATA_TRY(CheckWanted(setting.stop));
    log::Warn("the warm machine cannot be used", {{"error", made.error().message()}});
    waiting.reset();
  }
  Phases phases;
  auto started = KATA_TRY(StartGuest(setting, size, phases, template_wanted));
  return EnterSandbox(setting, std::move(started), containers, &sandbox, phases);
}

Result<Machine::Made> Machine::EnterSandbox(const GuestSetting& setting,
                                            std::unique_ptr<StartedGuest> started,
                                            const MachineSize& containers,
                                            const agent::CreateSandboxRequest* sandbox,
                                            Phases& phases) {
  Identity identity;
  {
    const MutexLock lock(mutex_);
    identity = identity_;
  }
  const VmProcesses& processes = *started->processes;
  const auto growth =
      std::make_shared<Growth>(*started, setting.config, identity.sandbox_id, records());
  const auto enter = [&]() -> Result<void> {
    if (sandbox != nullptr) {
      KATA_TRY(processes.agent()->CreateSandbox(*sandbox));
      phases.End("create_sandbox");
    }
    if (const auto& network = started->network) {
      network->Follow(loop_, identity.on_network);
      KATA_TRY(network->Sync(*processes.vm(), *processes.agent(), Deadline::Never()));
    }
    phases.End("network");
    growth->Grow(containers);
    phases.End("grow");
    return {};
  };
  {
    const StopWatch watch(setting.stop, *started);
    KATA_TRY(CheckSteps(setting, *started, enter()));
  }
  phases.Log("machine booted", started->origin);
  return Made{.guest = std::make_shared<Guest>(std::move(started), phases.list()),
              .growth = growth};
}

void Machine::Build(std::string_view what,
                    const std::function<Result<void>(const config::Loaded&,
                                                     const std::vector<std::string>&)>& start) {
  std::shared_ptr<const config::Loaded> config;
  std::shared_ptr<CgroupMove> cgroup;
  {
    const MutexLock lock(mutex_);
    config = config_;
    cgroup = cgroup_;
  }
  const auto started = start(*config, cgroup ? cgroup->before() : std::vector<std::string>());
  if (!started) log::Warn(what, {{"error", started.error().message()}});
}

void Machine::BuildTemplate() { Build("no template is made", StartTemplateBuild); }

void Machine::BuildLayers(const std::vector<std::string>& layers) {
  if (layers.empty()) return;
  Build("no images of layers are made",
        [&](const config::Loaded& config, const std::vector<std::string>& cgroup_dirs) {
          return StartLayerBuild(config, layers, cgroup_dirs);
        });
}

}  // namespace kata::sandbox
