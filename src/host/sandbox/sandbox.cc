// SPDX-License-Identifier: Apache-2.0
//
// Calls on what exists; sandbox_create.cc and sandbox_delete.cc hold the two ends of a life.
#include "host/sandbox/sandbox.h"

#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/record/phases.h"
#include "host/sandbox/guest_filter.h"
#include "oci/runtime_error.h"
#include "oci/validate.h"
#include "sys/process.h"

namespace kata::sandbox {
namespace {

constexpr uint32_t kLost = 255;

ExitInfo ExitNow(uint32_t status) {
  return {.status = status, .at = std::chrono::system_clock::now()};
}

// Restored and not started: nobody waits for its end in the guest, and nobody else is there.
bool IsHeld(const Container& container) {
  const auto init = container.Find("");
  return container.restored && init && (*init)->state() == ProcessState::kCreated;
}

std::unexpected<Error> FilterIsBusy() {
  return Fail(Code::kDeadlineExceeded,
              "packet filter: the guest does not answer an earlier call; try again");
}

}  // namespace

Sandbox::Sandbox(std::string id, std::string owner, std::string container_namespace,
                 sys::EventLoop& loop, Observer observer, std::unique_ptr<Machine> prepared)
    : id_(std::move(id)),
      container_namespace_(std::move(container_namespace)),
      loop_(loop),
      observer_(std::move(observer)),
      owned_machine_(prepared ? std::move(prepared) : std::make_unique<Machine>(id_, loop)),
      machine_(*owned_machine_) {
  machine_.Identify({.sandbox_id = id_,
                     .owner = std::move(owner),
                     .on_end = [this] { OnMachineEnd(); },
                     .on_network = [this] { observer_.on_network(); }});
}

Sandbox::~Sandbox() = default;

std::vector<std::string> Sandbox::container_ids() const {
  std::vector<std::string> ids;
  for (const auto& container : members_.All()) ids.push_back(container->id());
  return ids;
}

Result<std::shared_ptr<Container>> Sandbox::FindContainer(const std::string& container_id) const {
  return members_.Find(container_id);
}

Result<std::shared_ptr<Process>> Sandbox::FindProcess(const std::string& container_id,
                                                      const std::string& exec_id) const {
  return KATA_TRY(FindContainer(container_id))->Find(exec_id);
}

Result<void> Sandbox::FindAlive(const std::string& container_id) const {
  const auto process = KATA_TRY(FindProcess(container_id, ""));
  if (!process->ended()) return {};
  return Fail(Code::kFailedPrecondition, "process already finished");
}

Deadline Sandbox::RequestDeadline() const {
  return Deadline::After(std::chrono::milliseconds(machine_.config()->agent.request_timeout_ms));
}

void Sandbox::FollowNetwork() { LogIfFailed(Explained(machine_.SyncNetwork())); }

Result<std::string> Sandbox::IpTables(bool ipv6) {
  if (!machine_.booted() || !machine_.alive()) {
    return Fail(Code::kFailedPrecondition, "the sandbox has ended");
  }
  if (!filter_calls_.Begin(RequestDeadline())) return FilterIsBusy();
  const CallTurn turn(filter_calls_);
  return Explained(ReadFilter(*machine_.agent(), FilterFolder(*machine_.config()), ipv6));
}

Result<csi::VolumeStatsResponse> Sandbox::VolumeStats(const std::string& volume) {
  if (!machine_.booted() || !machine_.alive()) {
    return Fail(Code::kFailedPrecondition, "the sandbox has ended");
  }
  const DirectDisk disk = KATA_TRY(machine_.direct_disks().Find(volume));
  return Explained(machine_.agent()->VolumeStats(disk.storage.mount_point()));
}

Result<void> Sandbox::GrowVolume(const std::string& volume, uint64_t bytes) {
  if (!machine_.booted() || !machine_.alive()) {
    return Fail(Code::kFailedPrecondition, "the sandbox has ended");
  }
  const DirectDisk disk = KATA_TRY(machine_.direct_disks().Find(volume));
  const std::string context = fmt::format("direct volume \"{}\"", volume);
  KATA_TRY_WITHIN(context, CheckGrows(disk));
  const auto guest = machine_.guest();
  // First the disk: where the guest fails, the same call goes on from there.
  KATA_TRY_WITHIN(context, guest->vm()->GrowDisk(disk.disk_id, bytes, RequestDeadline()));
  // A file system takes longer, the more it grows.
  const std::chrono::seconds patience(machine_.config()->runtime.create_container_timeout_s);
  return Explained(guest->agent()->ResizeVolume(disk.storage.mount_point(), bytes, patience));
}

Result<void> Sandbox::SetIpTables(bool ipv6, const std::string& rules) {
  if (!machine_.booted() || !machine_.alive()) {
    return Fail(Code::kFailedPrecondition, "the sandbox has ended");
  }
  if (!filter_calls_.Begin(RequestDeadline())) return FilterIsBusy();
  const CallTurn turn(filter_calls_);
  return Explained(WriteFilter(*machine_.agent(), FilterFolder(*machine_.config()), ipv6, rules));
}

bool Sandbox::IsNeeded() const { return members_.held() || !members_.empty(); }

Result<void> Sandbox::Start(const std::string& container_id, const std::string& exec_id) {
  const auto container = KATA_TRY(FindContainer(container_id));
  const auto process = KATA_TRY(container->Find(exec_id));
  KATA_TRY(process->BeginStart());
  Phases phases;
  auto started = process->io().OpenInput();
  if (started) started = Explained(StartInGuest(*container, *process));
  if (!started) {
    process->FailStart();
    // Clients wait for the end of an exec's streams before they tell their user of the error.
    if (!exec_id.empty()) CloseIo(process->io());
    return std::unexpected(oci::AsShimError(exec_id.empty() ? oci::Step::kStart : oci::Step::kExec,
                                            std::move(started).error()));
  }
  phases.End(exec_id.empty() ? "start_container" : "exec");
  phases.Log(exec_id.empty() ? "container started" : "exec started");
  process->io().Start(machine_.agent(), {container_id, exec_id});
  if (exec_id.empty()) {
    container->timing.started = phases.list();
    // While it starts no Delete removes that.
    LogIfFailed(SaveTiming(id_, container_id, container->timing, machine_.records()));
    machine_.BuildLayers(std::exchange(container->layers_to_build, {}));
  }
  if (!process->Started([&] { observer_.on_started(container_id, exec_id); })) {
    return Fail(Code::kNotFound,
                fmt::format("exec \"{}\" was deleted with its container", exec_id));
  }
  if (!exec_id.empty()) {
    WaitForExit(container_id, process);
  } else if (auto done = container->hooks().RunPoststart(machine_.pid()); !done) {
    // Since runtime-spec 1.3 as with runc before: the start has failed, and the process is not
    // left.
    LogIfFailed(Kill(container_id, exec_id, SIGKILL, false));
    return std::unexpected(oci::AsShimError(oci::Step::kStart, std::move(done).error()));
  }
  return {};
}

Result<void> Sandbox::StartInGuest(Container& container, Process& process) {
  if (!machine_.alive()) return Fail(Code::kUnavailable, "the sandbox has ended");
  const auto agent = machine_.agent();
  if (process.exec_id().empty()) {
    // Docker connects a container's network when it was created, before it is started.
    KATA_TRY(machine_.SyncNetwork());
    return container.restored ? Thaw(container) : agent->StartContainer(container.id());
  }
  const std::string& container_id = container.id();
  agent::ExecProcessRequest request;
  request.set_container_id(container_id);
  request.set_exec_id(process.exec_id());
  *request.mutable_process() = process.spec();
  auto started = agent->ExecProcess(request);
  // The guest may start it later, and nobody would read or end it.
  if (!started && started.error().code() == Code::kDeadlineExceeded) {
    (void)agent->SignalProcess({container_id, process.exec_id()}, SIGKILL);
  }
  return started;
}

void Sandbox::Report(const std::string& container_id, Process& process) {
  process.SetReport([this, container_id, exec_id = process.exec_id()](const ExitInfo& exit) {
    observer_.on_exit(container_id, exec_id, exit);
  });
}

void Sandbox::EndWithMachine(Process& process) {
  if (!machine_.alive()) process.Exited(ExitNow(kKilled));
}

void Sandbox::WaitForExit(const std::string& container_id, const std::shared_ptr<Process>& process,
                          std::function<void()> on_end) {
  machine_.agent()->WaitProcess({container_id, process->exec_id()}, [process,
                                                                     on_end = std::move(on_end)](
                                                                        Result<int> status) {
    if (status) {
      if (on_end) on_end();
      const ExitInfo exit = ExitNow(static_cast<uint32_t>(*status));
      process->KnowExit(exit);
      return process->io().AfterOutput([process, exit] { process->Exited(exit); });
    }
    // A machine that ends tells OnMachineEnd, which knows the better status.
    if (status.error().code() != Code::kUnavailable && status.error().code() != Code::kCancelled) {
      log::Error("the guest lost a process", {{"error", status.error().message()}});
      process->Exited(ExitNow(kLost));
    }
  });
}

Result<void> Sandbox::Kill(const std::string& container_id, const std::string& exec_id,
                           uint32_t signal, bool all) {
  const auto process = KATA_TRY(FindProcess(container_id, exec_id));
  if (signal == 0 || signal > static_cast<uint32_t>(SIGRTMAX)) {
    return Fail(Code::kInvalidArgument, fmt::format("no signal has the number {}", signal));
  }
  if (process->ended() && !all) return Fail(Code::kNotFound, "process already finished");
  if (!machine_.alive()) return Fail(Code::kNotFound, "process already finished");
  if (IsHeld(*KATA_TRY(FindContainer(container_id))) && signal == SIGKILL) {
    machine_.Kill();
    return {};
  }
  const auto agent = machine_.agent();
  auto killed = all ? agent->SignalAll(container_id, signal)
                    : agent->SignalProcess({container_id, exec_id}, signal);
  if (killed || signal != SIGKILL || !exec_id.empty()) return Explained(std::move(killed));
  // A guest that does not obey loses its machine: SIGKILL must work.
  const Code code = killed.error().code();
  if (code != Code::kDeadlineExceeded && code != Code::kUnavailable) return killed;
  log::Error("the guest does not answer; its machine is killed",
             {{"error", machine_.Explain(killed.error()).message()}});
  machine_.Kill();
  return {};
}

Result<void> Sandbox::Pause(const std::string& container_id) {
  const auto container = KATA_TRY(FindContainer(container_id));
  KATA_TRY(FindAlive(container_id));
  const auto& on_files_back = container->on_files_back;
  const std::chrono::milliseconds patience =
      on_files_back ? GuestContainer::kBringBackTime : std::chrono::milliseconds();
  KATA_TRY(Explained(machine_.agent()->PauseContainer(container_id, patience)));
  if (on_files_back) on_files_back();
  container->SetPaused(true);
  return {};
}

Result<void> Sandbox::Resume(const std::string& container_id) {
  const auto container = KATA_TRY(FindContainer(container_id));
  if (!container->paused()) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("container \"{}\" is not paused", container_id));
  }
  KATA_TRY(Explained(machine_.agent()->ResumeContainer(container_id)));
  container->SetPaused(false);
  return {};
}

Result<void> Sandbox::ResizeTerminal(const std::string& container_id, const std::string& exec_id,
                                     uint32_t rows, uint32_t columns) {
  const auto process = KATA_TRY(FindProcess(container_id, exec_id));
  if (!process->stdio().terminal) return {};
  // Clients resize as soon as they attach, which may be before the start.
  if (process->ended()) return {};
  if (process->state() == ProcessState::kCreated && !exec_id.empty()) {
    process->SetConsoleSize(rows, columns);
    return {};
  }
  return Explained(machine_.agent()->ResizeTerminal({container_id, exec_id}, rows, columns));
}

Result<void> Sandbox::CloseStdin(const std::string& container_id, const std::string& exec_id) {
  KATA_TRY(FindProcess(container_id, exec_id))->io().CloseStdin();
  return {};
}

Result<void> Sandbox::Update(const std::string& container_id,
                             const oci::LinuxResources& resources) {
  const auto container = KATA_TRY(FindContainer(container_id));
  KATA_TRY_WITHIN("update", oci::ValidateResources(resources));
  if (!container->updates().Begin(RequestDeadline())) {
    return Fail(Code::kDeadlineExceeded,
                "update: the guest does not answer an earlier one; try again");
  }
  const CallTurn turn(container->updates());
  // It may have been deleted while this one waited.
  if (auto there = FindContainer(container_id); !there) return std::unexpected(there.error());
  KATA_TRY_WITHIN("update", GrowForUpdate(container_id, resources));
  agent::UpdateContainerRequest request;
  request.set_container_id(container_id);
  *request.mutable_resources() = resources;
  std::vector<std::string> notes;
  RemoveHostResources(request.mutable_resources(), {}, DeviceNumber, &notes);
  for (const std::string& note : notes) log::Warn(note, {{"container", container_id}});
  return Explained(machine_.agent()->UpdateContainer(request));
}

MachineSize Sandbox::AskFor(const std::string& container_id, const MachineSize& wanted) {
  const MutexLock lock(mutex_);
  MachineSize& size = sizes_[container_id];
  if (wanted.vcpus > 0) size.vcpus = wanted.vcpus;
  if (wanted.memory_mib > 0) size.memory_mib = wanted.memory_mib;
  return SumOfSizes();
}

void Sandbox::Grow(const std::string& container_id, const oci::LinuxResources& resources) {
  machine_.Grow(AskFor(container_id, SizeOf(resources)));
}

Result<void> Sandbox::GrowForUpdate(const std::string& container_id,
                                    const oci::LinuxResources& resources) {
  MachineSize before;
  {
    const MutexLock lock(mutex_);
    before = sizes_[container_id];
  }
  auto grown = machine_.GrowOrRefuse(AskFor(container_id, SizeOf(resources)));
  if (grown) return grown;
  const MutexLock lock(mutex_);
  if (const auto size = sizes_.find(container_id); size != sizes_.end()) size->second = before;
  return grown;
}

MachineSize Sandbox::SumOfSizes() const {
  MachineSize sum;
  for (const auto& [id, each] : sizes_) sum = sum + each;
  return sum;
}

Result<agent::StatsContainerResponse> Sandbox::Stats(const std::string& container_id) {
  KATA_TRY(FindAlive(container_id));
  return Explained(machine_.agent()->StatsContainer(container_id));
}

Result<std::vector<guest::GuestProcess>> Sandbox::Pids(const std::string& container_id) {
  const auto init = KATA_TRY(FindProcess(container_id, ""));
  std::vector<guest::GuestProcess> processes;
  if (!init->ended() && machine_.alive()) {
    if (auto listed = machine_.agent()->ListProcesses(container_id)) processes = *std::move(listed);
  }
  // containerd takes an empty list for a container that is gone and kills it.
  if (processes.empty() && !init->ended()) {
    processes.emplace_back().set_pid(static_cast<uint32_t>(machine_.pid()));
  }
  return processes;
}

Result<ProcessView> Sandbox::State(const std::string& container_id,
                                   const std::string& exec_id) const {
  const auto container = KATA_TRY(FindContainer(container_id));
  const auto process = KATA_TRY(container->Find(exec_id));
  return ProcessView{.bundle = container->bundle(),
                     .stdio = process->stdio(),
                     .state = process->state(),
                     .paused = container->paused(),
                     .exit = process->exit(),
                     .pid = machine_.pid()};
}

Result<void> Sandbox::Wait(const std::string& container_id, const std::string& exec_id,
                           Process::ExitCallback done) {
  KATA_TRY(FindProcess(container_id, exec_id))->OnExit(std::move(done));
  return {};
}

void Sandbox::WatchOom() {
  machine_.agent()->WaitOom([this](Result<std::string> container_id) {
    if (!container_id) return;
    // A name that the guest made up is nobody's.
    if (FindContainer(*container_id)) observer_.on_oom(*container_id);
    WatchOom();
  });
}

void Sandbox::OnMachineEnd() {
  for (const auto& container : members_.All()) {
    for (const auto& process : container->Processes()) process->Exited(ExitNow(kKilled));
  }
  pod_.MachineEnded();
}

void Sandbox::Shutdown() {
  // What waits for the guest or for its boot ends at once.
  machine_.Abort();
  members_.AwaitQuiet();
  machine_.Stop();
  for (const auto& container : members_.TakeAll()) {
    for (const auto& process : container->Close()) {
      process->Exited(ExitNow(kKilled));
      CloseIo(process->io());
    }
  }
  ReleasePod();
  pod_.Stopped();
  members_.ShutdownDone();
}

}  // namespace kata::sandbox
