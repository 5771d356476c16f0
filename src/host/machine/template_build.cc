// SPDX-License-Identifier: Apache-2.0
#include "host/machine/template_build.h"

#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/rollback.h"
#include "host/agent/agent_client.h"
#include "host/config/host_files.h"
#include "host/hypervisor/accelerator.h"
#include "host/hypervisor/agent_channel.h"
#include "host/hypervisor/memory_file.h"
#include "host/hypervisor/registry.h"
#include "host/machine/background.h"
#include "host/machine/guest_network.h"
#include "host/machine/vm_template.h"
#include "host/plan/vm_plan.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr auto kWaitForOthers = minutes(5);
constexpr auto kSaveTime = seconds(60);
constexpr size_t kTemplateConsoleLines = 6;

// Boots the VM of `spec` until its agent answers, and writes its state to `folder`.
Result<void> BootAndSave(hypervisor::Hypervisor& vm, hypervisor::VmSpec spec,
                         const config::Config& config, sys::EventLoop& loop,
                         const std::string& folder,
                         const std::function<void(std::string_view)>& progress) {
  const Deadline deadline = Deadline::After(seconds(config.agent.dial_timeout_s));
  progress("booting the guest");
  KATA_TRY(vm.Start(std::move(spec), deadline));
  sys::UniqueFd channel = KATA_TRY(vm.ConnectAgent(deadline));
  auto agent = KATA_TRY(agent::AgentClient::Create(loop, std::move(channel),
                                                   milliseconds(config.agent.request_timeout_ms),
                                                   [](const Error&) {}));
  KATA_TRY(agent->WaitUntilServing(deadline));
  // An agent that knows this call can be a copy.
  KATA_TRY_WITHIN("the guest's agent cannot be copied", agent->Renew({}, deadline));
  // What layers need it makes ready before it answers: copies have it then.
  KATA_TRY(agent->StorageDrivers());
  progress("saving it");
  KATA_TRY(vm.Save(folder, Deadline::After(kSaveTime)));
  return {};
}

}  // namespace

Result<factory::TemplateInfo> BuildTemplate(const config::Loaded& loaded, sys::EventLoop& loop,
                                            std::function<void(std::string_view)> progress) {
  const config::Config& config = loaded.config;
  if (!CanBeCopied(config)) {
    return Fail(
        Code::kFailedPrecondition,
        "no template is made for this configuration: enable_template is off, or the "
        "memory is huge or preallocated, or enable_debug shows each boot, or the VMM cannot "
        "save one");
  }
  KATA_TRY(config::RequireFiles(loaded));
  const auto accelerator = KATA_TRY(hypervisor::ChooseAccelerator(config.hypervisor.accelerator));
  const MachineSize size = TotalSize(config.hypervisor, {});
  hypervisor::VmSpec spec = PlanVm("template", config, size, accelerator.kind);
  const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config.runtime.hypervisor_name));
  const auto vm = vmm.make(loop);
  spec.agent =
      KATA_TRY(hypervisor::ChooseAgentChannel(config.hypervisor.agent_channel, vmm.capabilities));
  const bool vsock = std::holds_alternative<hypervisor::VsockChannel>(spec.agent);
  const std::string key = KATA_TRY(TemplateKey(config, vmm, accelerator.kind, vsock));
  const factory::TemplateStore store(config.factory.template_path);

  progress("waiting for other builders");
  const sys::UniqueFd lock = KATA_TRY(store.Lock(Deadline::After(kWaitForOthers)));
  if (auto there = store.Open(key)) return std::move(there->info);
  auto built = [&]() -> Result<factory::TemplateInfo> {
    const auto network = KATA_TRY(GuestNetwork::Open("", network::Model::kTcFilter));
    spec.network_namespace = KATA_TRY(network->DuplicateNamespace());
    const GuestNetwork::Options options = KATA_TRY(NetworkOptions(config, true));
    auto nics = KATA_TRY(
        network->MakeNics(options, [](std::vector<NetworkEntry>) -> Result<void> { return {}; }));
    for (hypervisor::Nic& nic : nics) spec.devices.push_back(std::move(nic));
    const sys::UniqueFd memory = KATA_TRY(hypervisor::MakeMemoryFile(size.memory_mib));
    spec.memory.shared = true;
    spec.memory.file = KATA_TRY(sys::Duplicate(memory.get()));
    const std::string folder = KATA_TRY(store.MakeStateFolder());
    Rollback cleanup;
    cleanup.Add([&] { LogIfFailed(sys::RemoveTree(folder)); });
    KATA_TRY(BootAndSave(*vm, std::move(spec), config, loop, folder, progress));
    vm->Stop(milliseconds(0));
    progress("storing it");
    return store.Publish({.key = key,
                          .memory_mib = size.memory_mib,
                          .memory = memory.get(),
                          .state_folder = folder});
  }();
  if (built) return built;
  std::string reason = built.error().message();
  if (const std::string console = vm->ConsoleTail(kTemplateConsoleLines); !console.empty()) {
    reason += fmt::format("; the guest's console ended with:\n{}", console);
  }
  vm->Stop(milliseconds(0));
  store.NoteFailure(key, reason);
  return Fail(built.error().code(), reason);
}

std::string FormatAnnotations(const std::map<std::string, std::string>& annotations) {
  return nlohmann::json(annotations).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<std::map<std::string, std::string>> ParseAnnotations(const std::string& text) {
  std::map<std::string, std::string> annotations;
  if (text.empty()) return annotations;
  const auto read = nlohmann::json::parse(text, nullptr, false);
  if (!read.is_object()) return Fail(Code::kInvalidArgument, "standard input is no JSON object");
  for (const auto& [name, value] : read.items()) {
    if (!value.is_string()) return Fail(Code::kInvalidArgument, "an annotation is no string");
    annotations[name] = value.get<std::string>();
  }
  return annotations;
}

Result<void> StartTemplateBuild(const config::Loaded& config,
                                const std::vector<std::string>& cgroup_dirs) {
  // Who builds already builds this one, too, or lets the next start ask again.
  const factory::TemplateStore store(config.config.factory.template_path);
  if (!KATA_TRY(store.TryLock())) return {};
  return StartInBackground(config, "template", FormatAnnotations(config.annotations), cgroup_dirs);
}

}  // namespace kata::sandbox
