// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/checkpoint.h"

#include <chrono>
#include <variant>

#include <fmt/format.h>

#include "host/config/annotations.h"
#include "host/hypervisor/agent_channel.h"
#include "host/hypervisor/registry.h"
#include "host/plan/savable.h"
#include "host/snapshot/compatible.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

constexpr auto kProbeTime = std::chrono::seconds(30);
constexpr size_t kMaxCheckpoint = 4096;

}  // namespace

snapshot::Store StoreOf(const config::Config& config) {
  return snapshot::Store(config.snapshot.path, config.snapshot.quota_mb);
}

Result<snapshot::Origin> OriginOf(const config::Config& config,
                                  const hypervisor::MachineShape& shape) {
  const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config.runtime.hypervisor_name));
  return snapshot::OriginHere(config, vmm, shape, Deadline::After(kProbeTime));
}

Result<void> CheckSavable(const Machine& machine, size_t containers, const Container& container) {
  const auto config = machine.config();
  const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config->runtime.hypervisor_name));
  const auto channel =
      KATA_TRY(hypervisor::ChooseAgentChannel(config->hypervisor.agent_channel, vmm.capabilities));
  SavableFacts facts{.vmm_saves = vmm.capabilities.save,
                     .vsock = !std::holds_alternative<hypervisor::VirtioSerialChannel>(channel),
                     .shares_files = machine.shares_files(),
                     .huge_or_preallocated = config->hypervisor.enable_hugepages ||
                                             config->hypervisor.enable_mem_prealloc,
                     .containers = containers,
                     .root_on_disks = !container.saved_by.root_disk.empty(),
                     .root = container.saved_by.root_words,
                     .volumes = container.saved_by.volumes,
                     .execs = {}};
  for (const auto& process : container.Processes()) {
    const bool runs = process->state() == ProcessState::kRunning;
    if (process->exec_id().empty()) {
      facts.runs = runs;
    } else if (runs || process->state() == ProcessState::kStarting) {
      facts.execs.push_back(process->exec_id());
    }
  }
  return CheckSavable(facts);
}

Result<void> WriteCheckpoint(const std::string& directory, const std::string& snapshot,
                             const snapshot::Store& store) {
  KATA_TRY(sys::MakeDirs(directory, 0700));
  return sys::ReplaceFile(directory + "/" + kCheckpointFile,
                          FormatCheckpoint(snapshot, store.root()), 0600);
}

Result<std::string> ReadCheckpoint(const std::string& directory) {
  const std::string path = directory + "/" + kCheckpointFile;
  auto text = sys::ReadFile(path, kMaxCheckpoint);
  if (!text) {
    return std::unexpected(std::move(text).error().Within("no checkpoint of this runtime"));
  }
  return KATA_TRY_WITHIN(path, ParseCheckpoint(*text));
}

Result<std::string> SnapshotByAnnotation(const oci::Spec& spec, const config::Loaded& config) {
  const auto wish = spec.annotations().find(kSnapshotAnnotation);
  if (wish == spec.annotations().end() || wish->second.empty()) return "";
  KATA_TRY(config::CheckAllowed(kSnapshotAnnotation, "snapshot", config));
  return wish->second;
}

Result<OpenedSnapshot> OpenSnapshot(const config::Config& config, const std::string& id) {
  const snapshot::Store store = StoreOf(config);
  auto snapshot = KATA_TRY(snapshot::Snapshot::Open(store, id));
  KATA_TRY(snapshot::CheckGoesOn(config, snapshot.manifest()));
  SavedContainer container = KATA_TRY(ParseSavedContainer(snapshot.manifest().shim));
  return OpenedSnapshot{.snapshot = std::move(snapshot), .container = std::move(container)};
}

Result<void> CheckSame(const oci::Spec& spec, const GuestPlan& plan, const SavedContainer& saved) {
  if (saved.program) KATA_TRY(CheckSameProgram(*saved.program, spec));
  if (spec.process().terminal() != saved.terminal) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("the saved container has {} terminal; restore it {}",
                            saved.terminal ? "a" : "no", saved.terminal ? "with one" : "without"));
  }
  if (!plan.direct.empty() || !plan.disks.empty()) {
    return Fail(Code::kFailedPrecondition,
                "the saved container has no disks and devices of the host; restore it without");
  }
  return {};
}

}  // namespace kata::sandbox
