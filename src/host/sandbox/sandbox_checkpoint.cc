// SPDX-License-Identifier: Apache-2.0
//
// Saving a container that runs, and creating one that goes on from there.
#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "host/machine/saved_guest.h"
#include "host/machine/volume_copy.h"
#include "host/sandbox/checkpoint.h"
#include "host/sandbox/creation.h"
#include "host/sandbox/sandbox.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

using std::chrono::seconds;

// A killed VMM is soon heard of.
constexpr auto kEndTime = seconds(10);
constexpr auto kThawTime = seconds(30);

// What an engine makes anew for each container, and at each of its starts. Other copies of files of
// the host are as they were.
bool IsEnginesFile(const std::string& destination) {
  constexpr std::array<std::string_view, 3> kFiles{"/etc/hosts", "/etc/hostname",
                                                   "/etc/resolv.conf"};
  return std::ranges::find(kFiles, destination) != kFiles.end();
}

Result<std::string> NewUuid() {
  constexpr size_t kMost = 64;
  std::string text = KATA_TRY(sys::ReadFile("/proc/sys/kernel/random/uuid", kMost));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// Nothing can be mounted over a file that was replaced, as the saved one would be where both are
// copies of one source. `generation` is another one in a copy of a copy.
void PutBeside(VolumeCopy* copy, uint32_t generation) {
  const size_t begin = copy->path.size();
  const std::string beside = fmt::format("{}-{}", copy->path, generation);
  for (agent::GuestFile& file : copy->files) file.path = beside + file.path.substr(begin);
  copy->path = beside;
}

Result<void> CheckWanted(const CheckpointRequest& request) {
  if (request.wanted()) return {};
  return Fail(Code::kCancelled, "nobody waits for the snapshot any more");
}

// To who has asked for it, by the file of his directory where he has one.
Result<void> HandOver(const CheckpointRequest& request, const std::string& id,
                      const snapshot::Store& store) {
  KATA_TRY(CheckWanted(request));
  if (request.directory.empty()) return {};
  return WriteCheckpoint(request.directory, id, store);
}

// In a guest whose agent is of a time before that they are left alone.
Result<void> AbortConnections(agent::AgentClient& agent, bool all) {
  auto aborted = agent.AbortConnections(all, Deadline::After(kThawTime));
  if (!aborted && aborted.error().code() == Code::kUnimplemented) return {};
  return aborted;
}

}  // namespace

Result<void> Sandbox::CheckSavable(const std::string& container_id) const {
  if (is_pod()) {
    return Fail(Code::kFailedPrecondition, "a pod of the sandbox API cannot be saved");
  }
  const auto container = KATA_TRY(FindContainer(container_id));
  // A machine that is being started has no configuration yet.
  KATA_TRY(container->Find(""));
  return sandbox::CheckSavable(machine_, members_.size(), *container);
}

Result<SavedSnapshot> Sandbox::Checkpoint(const CheckpointRequest& request) {
  const auto container = KATA_TRY(FindContainer(request.container_id));
  // Nor does another container come meanwhile.
  if (!booting_.Begin(RequestDeadline())) {
    return Fail(Code::kDeadlineExceeded,
                "checkpoint: another one, or the boot of the machine, does not end; try again");
  }
  const CallTurn turn(booting_);
  KATA_TRY_WITHIN("checkpoint", CheckSavable(request.container_id));
  return Explained(Save(request, *container));
}

Result<SavedSnapshot> Sandbox::Save(const CheckpointRequest& request, Container& container) {
  const auto config = machine_.config();
  const bool exit = request.exit.value_or(config->runtime.checkpoint_exit);
  const auto init = KATA_TRY(container.Find(""));
  const snapshot::Store store = StoreOf(*config);
  auto writer = KATA_TRY(
      snapshot::Writer::Begin(store, request.name.empty() ? snapshot::NewId() : request.name));
  Phases phases;
  StillGuest still = KATA_TRY(StillGuest::Hold(machine_.guest(), writer));
  phases.End("still");
  snapshot::Manifest manifest;
  manifest.sandbox_id = id_;
  manifest.containers = {container.id()};
  manifest.shim = Format(SavedContainer{.id = container.id(),
                                        .root_disk = container.saved_by.root_disk,
                                        .terminal = init->stdio().terminal,
                                        .paused = container.paused(),
                                        .first_stream = still.first_stream(),
                                        .program = container.program});
  // Until all is safe a container that is to end could still have to go on.
  if (!exit) KATA_TRY(still.GoOn());
  phases.End("go_on");
  KATA_TRY(CheckWanted(request));
  manifest.origin = KATA_TRY(OriginOf(*config, still.shape()));
  if (container.saved_by.layers) KATA_TRY(writer.AddLayers(*container.saved_by.layers));
  const auto published = KATA_TRY(std::move(writer).Publish(std::move(manifest)));
  const std::string& id = published.id;
  if (auto handed = HandOver(request, id, store); !handed) {
    LogIfFailed(store.Remove(id));
    return std::unexpected(std::move(handed).error());
  }
  phases.End("publish");
  phases.Log("container saved", id);
  request.saved();
  if (exit) {
    still.Abandon();
    KATA_TRY(EndSaved(*init));
  }
  return SavedSnapshot{.name = id, .store = store.root(), .bytes = published.bytes()};
}

Result<void> Sandbox::EndSaved(Process& init) {
  // What came out of it before belongs to its callers, and the guest's copy does not have it.
  std::promise<void> delivered;
  init.io().AfterOutput([&] { delivered.set_value(); });
  delivered.get_future().wait();
  machine_.Kill();
  const auto ended = std::make_shared<std::promise<void>>();
  init.OnExit([ended](const ExitInfo&) { ended->set_value(); });
  if (ended->get_future().wait_for(kEndTime) == std::future_status::ready) return {};
  return Fail(Code::kDeadlineExceeded, "the container was saved, and its machine does not end");
}

Result<void> Sandbox::RestoreContainer(Creation& creation) {
  const ContainerRequest& request = creation.request;
  auto opened = KATA_TRY_WITHIN("restore", OpenSnapshot(*machine_.config(), creation.snapshot));
  KATA_TRY_WITHIN("restore", CheckSame(creation.spec, creation.plan, opened.container));
  creation.phases.End("open_snapshot");
  SavedGuest saved{.snapshot = &opened.snapshot,
                   .disks = {},
                   .first_stream = opened.container.first_stream,
                   .renewal = {.hostname = creation.spec.hostname(),
                               .names = {{opened.container.id, request.id}}}};
  if (Forks(creation, opened.container.id)) {
    saved.renewal.boot_id = KATA_TRY(NewUuid());
  }
  Container& container = creation.container;
  const RestoreSource source{.snapshot = &opened.snapshot,
                             .root_disk = opened.container.root_disk,
                             .rootfs = request.rootfs,
                             .directory = DirectoryOf(creation.spec.root(), request.bundle),
                             .mount_namespace = creation.mount_namespace};
  GuestContainer& guest = container.SetGuest(std::make_unique<GuestContainer>(
      KATA_TRY(GuestContainer::Restore(machine_, request.id, source, &saved.disks))));
  creation.phases.End("disks");
  container.saved_by = guest.saved_by();
  container.on_files_back = guest.on_files_back();
  container.restored = std::move(opened.container);
  // Its machine ends with it.
  creation.undo.Add([&] { container.TakeGuest()->Remove(machine_, true); });
  KATA_TRY(members_.CheckWanted(request.id));
  KATA_TRY(BootFor(creation, [&](const MachineSize& size, const std::string& network) {
    return machine_.Restore(std::move(saved), size, network);
  }));
  creation.phases.End("restore");
  KATA_TRY(members_.CheckWanted(request.id));
  KATA_TRY(ShowEnginesFiles(creation));
  if (Forks(creation, container.restored->id)) KATA_TRY(AbortConnections(*machine_.agent(), true));
  KATA_TRY_WITHIN("limits", RenewLimits(creation));
  creation.phases.End("another_one");
  KATA_TRY(RunCreateHooks(creation));
  machine_.AwaitBoot();
  guest.GoesOn();
  return {};
}

Result<void> Sandbox::ShowEnginesFiles(const Creation& creation) {
  const auto agent = machine_.agent();
  std::vector<agent::AgentClient::ShownCopy> files;
  for (const SharedVolume& volume : creation.plan.volumes) {
    if (!IsEnginesFile(volume.destination)) continue;
    const std::string where = fmt::format("mount \"{}\"", volume.destination);
    VolumeCopy copy = KATA_TRY_WITHIN(
        where, ReadVolume({volume.source, volume.destination, volume.options, volume.ids},
                          creation.request.id, creation.mount_namespace));
    PutBeside(&copy, creation.container.restored->first_stream);
    KATA_TRY_WITHIN(where, SendVolume(copy, *agent));
    files.push_back({.copy = copy.path,
                     .path = volume.destination,
                     .read_only = std::ranges::find(volume.options, "ro") != volume.options.end()});
  }
  if (files.empty()) return {};
  return agent->ShowFiles(creation.request.id, files);
}

bool Sandbox::Forks(const Creation& creation, const std::string& saved) {
  return creation.forked || saved != creation.request.id;
}

Result<void> Sandbox::RenewLimits(const Creation& creation) {
  agent::UpdateContainerRequest request;
  request.set_container_id(creation.request.id);
  *request.mutable_resources() = LimitsAnew(creation.plan.spec.linux().resources());
  return machine_.agent()->UpdateContainer(request);
}

Result<void> Sandbox::Thaw(Container& container) {
  const auto agent = machine_.agent();
  // The network is known by now: it may have others than the saved one.
  KATA_TRY(AbortConnections(*agent, false));
  KATA_TRY(agent->Thaw(Deadline::After(kThawTime)));
  // Front ends pause a container to save it, and want one that runs.
  if (container.restored->paused) KATA_TRY(agent->ResumeContainer(container.id()));
  return {};
}

}  // namespace kata::sandbox
