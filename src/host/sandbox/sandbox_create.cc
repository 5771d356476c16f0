// SPDX-License-Identifier: Apache-2.0
//
// Making containers and execs.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/config/annotations.h"
#include "host/machine/mount_namespace.h"
#include "host/plan/pod_files.h"
#include "host/plan/sandbox_request.h"
#include "host/record/phases.h"
#include "host/record/root_report.h"
#include "host/sandbox/checkpoint.h"
#include "host/sandbox/creation.h"
#include "host/sandbox/sandbox.h"
#include "oci/annotations.h"
#include "oci/id.h"
#include "oci/parse.h"
#include "oci/runtime_error.h"
#include "oci/usable_capabilities.h"
#include "oci/validate.h"

namespace kata::sandbox {
namespace {

using std::chrono::seconds;

// For a guest to let go of a container that it was still making: longer than it gives itself.
constexpr auto kUndoTimeout = seconds(15);

// Where the network namespace is bound that the container is to use; empty where it is to get a new
// one. The VMM lives there or in an empty one: programs of the host that find a container's network
// by its pid must never find the host's. Without a namespace of its own (--net=host) it is ours.
std::string NetworkOf(const oci::Spec& spec) {
  for (const oci::LinuxNamespace& wanted : spec.linux().namespaces()) {
    if (wanted.type() == "network") return wanted.path();
  }
  return fmt::format("/proc/{}/ns/net", ::getpid());
}

// The annotation that Podman sets for --group-add keep-groups, as crun reads it: the groups of who
// asks, which files shared by virtiofs may belong to.
Result<void> KeepGroups(oci::Spec& spec) {
  const auto wish = spec.annotations().find("run.oci.keep_original_groups");
  if (wish == spec.annotations().end() || wish->second != "1") return {};
  const int count = ::getgroups(0, nullptr);
  if (count < 0) return FailErrno("getgroups");
  std::vector<gid_t> groups(static_cast<size_t>(count));
  if (::getgroups(count, groups.data()) != count) return FailErrno("getgroups");
  for (const gid_t group : groups)
    spec.mutable_process()->mutable_user()->add_additional_gids(group);
  return {};
}

// Whether the caller names the namespaces that the container shares with others, as Podman and CRI
// do. Those who only annotate (ctr) mean all that a sandbox shares.
bool JoinsNamespaces(const oci::Spec& spec) {
  return std::ranges::any_of(spec.linux().namespaces(), [](const oci::LinuxNamespace& wanted) {
    return !wanted.path().empty() &&
           (wanted.type() == "ipc" || wanted.type() == "uts" || wanted.type() == "network");
  });
}

std::unexpected<Error> BootsForAnother() {
  return Fail(Code::kDeadlineExceeded,
              "the sandbox's machine is still being started for another container");
}

std::unexpected<Error> RunsAlready() {
  return Fail(Code::kFailedPrecondition,
              "a saved container goes on in a sandbox of its own, and this one runs already");
}

Result<oci::Spec> LoadSpec(const ContainerRequest& request) {
  auto parsed = request.config.empty() ? KATA_TRY(oci::LoadBundle(request.bundle))
                                       : KATA_TRY(oci::ParseSpec(request.config));
  for (const oci::Unsupported& part : parsed.unsupported) {
    log::Warn("a part of the specification is not honoured",
              {{"field", part.path}, {"reason", part.reason}});
  }
  KATA_TRY_WITHIN("config.json", oci::ValidateSpec(parsed.value));
  KATA_TRY(KeepGroups(parsed.value));
  return std::move(parsed.value);
}

}  // namespace

Result<void> Sandbox::Create(const ContainerRequest& request, const config::Loaded& config,
                             const Caller& caller) {
  KATA_TRY(oci::ValidateId("container id", request.id));
  const auto container = std::make_shared<Container>(request.id, request.bundle);
  KATA_TRY(members_.BeginCreate(container, caller.wanted));
  auto created = Explained(CreateInGuest(request, config, caller, *container));
  if (created) return {};
  Forget(request.id);
  return std::unexpected(oci::AsShimError(oci::Step::kCreate, std::move(created).error()));
}

void Sandbox::Forget(const std::string& container_id) {
  MachineSize left;
  {
    const MutexLock lock(mutex_);
    sizes_.erase(container_id);
    left = SumOfSizes();
  }
  machine_.ReportSize(left);
  if (!members_.Remove(container_id)) return;
  machine_.Stop();
  members_.MachineEnded();
}

Result<void> Sandbox::CreateInGuest(const ContainerRequest& request, const config::Loaded& config,
                                    const Caller& caller, Container& container) {
  Creation creation{.request = request, .config = config, .caller = caller, .container = container};
  KATA_TRY(BeginCreation(creation));
  KATA_TRY(creation.snapshot.empty() ? MakeContainer(creation) : RestoreContainer(creation));
  return KeepCreation(creation);
}

Result<void> Sandbox::BeginCreation(Creation& creation) {
  const ContainerRequest& request = creation.request;
  creation.spec = KATA_TRY(LoadSpec(request));
  AddPodFiles(pod_files(), &creation.spec);
  creation.container.program = ProgramOf(creation.spec);
  oci::PodRole role = KATA_TRY(oci::RoleFromAnnotations(creation.spec));
  creation.makes_pod = role.kind == oci::ContainerKind::kSandbox;
  // Who comes into a machine that runs shares it, whatever the annotations say.
  creation.was_booted = machine_.booted();
  const bool by_namespaces = creation.was_booted && JoinsNamespaces(creation.spec);
  creation.forked = request.checkpoint.empty();
  creation.snapshot = creation.forked
                          ? KATA_TRY(SnapshotByAnnotation(creation.spec, creation.config))
                          : KATA_TRY_WITHIN("restore", ReadCheckpoint(request.checkpoint));
  if (creation.was_booted && !creation.snapshot.empty()) return RunsAlready();
  if (machine_.booted()) role.kind = oci::ContainerKind::kMember;
  creation.io = KATA_TRY(ProcessIo::Open(loop_, request.stdio, container_namespace_, request.id));
  creation.undo.Add([this, &creation] { CloseIo(*creation.io); });
  // What the host has mounted since this shim began need not have come into its own namespace.
  creation.of_caller = creation.io->TakeMountNamespace();
  creation.mount_namespace =
      creation.of_caller ? creation.of_caller.get() : RememberedMountNamespace();
  creation.plan = KATA_TRY(PlanGuest(
      creation.spec, {.container_id = request.id,
                      .bundle = request.bundle,
                      .container_kind = std::string(oci::ContainerKindName(role.kind)),
                      .by_namespaces = by_namespaces || is_pod(),
                      .only_joined = is_pod(),
                      .guest_seccomp = !creation.config.config.runtime.disable_guest_seccomp,
                      .look_at = [&](const std::string& path) {
                        return LookAtSourceIn(creation.mount_namespace, path);
                      }}));
  creation.io->Describe(creation.plan.spec.mutable_process());
  for (const std::string& note : creation.plan.notes) log::Warn(note, {{"container", request.id}});
  creation.phases.End("plan");
  KATA_TRY(OpenFor(creation));
  machine_.record().AddContainer(request.id);
  creation.undo.Add([this, &request] { machine_.record().RemoveContainer(request.id); });
  if (creation.io->logger_pid() > 0) {
    machine_.record().AddProcess(creation.io->logger_pid(), ProcessRole::kLogger);
  }
  return {};
}

Result<void> Sandbox::MakeContainer(Creation& creation) {
  const ContainerRequest& request = creation.request;
  Container& container = creation.container;
  const bool share_pid_namespace = creation.plan.share_pid_namespace;
  GuestContainer& guest = container.SetGuest(std::make_unique<GuestContainer>(
      KATA_TRY(GuestContainer::Prepare(machine_, request.id, std::move(creation.plan),
                                       request.rootfs, request.bundle, creation.mount_namespace))));
  creation.undo.Add(
      [this, &creation] { creation.container.TakeGuest()->Remove(machine_, creation.in_guest); });
  creation.phases.End("mounts");
  KATA_TRY(members_.CheckWanted(request.id));
  KATA_TRY(BootFor(creation, [&](const MachineSize& size, const std::string& network) {
    const auto config = machine_.config();
    agent::CreateSandboxRequest sandbox = SandboxRequest(
        id_, creation.spec.hostname(), machine_.shares_files(), config->agent.kernel_modules);
    sandbox.set_sandbox_pidns(share_pid_namespace);
    return machine_.Boot(size, sandbox, network);
  }));
  creation.phases.End("boot");
  if (creation.makes_pod) machine_.ShareLoopback();
  KATA_TRY(members_.CheckWanted(request.id));
  KATA_TRY(guest.Deliver(machine_));
  creation.phases.End("disks");
  KATA_TRY(RunCreateHooks(creation));
  // A guest that has not answered in time may have it all the same, or make it later.
  creation.undo.Add([this, &creation, &guest] {
    const Removal removal = AskToRemove(creation.request.id, kUndoTimeout);
    creation.in_guest = removal == Removal::kFailed;
    if (removal == Removal::kDone) guest.RemovedByGuest();
  });
  KATA_TRY(guest.Create(machine_, seconds(machine_.config()->runtime.create_container_timeout_s)));
  machine_.AwaitBoot();
  creation.phases.End("create_container");
  container.layers_to_build = guest.missing_layers();
  container.on_files_back = guest.on_files_back();
  container.saved_by = guest.saved_by();
  return {};
}

Result<void> Sandbox::RunCreateHooks(Creation& creation) {
  const ContainerRequest& request = creation.request;
  Container& container = creation.container;
  container.SetHooks(HookRunner(request.id, request.bundle, creation.spec));
  // As at every end of a container, whether it has lived or not.
  creation.undo.Add([&container] { container.hooks().RunPoststop(); });
  KATA_TRY(container.hooks().RunCreate(machine_.pid()));
  creation.phases.End("hooks");
  KATA_TRY(members_.CheckWanted(request.id));
  // A hook may have made it, as Docker's does.
  KATA_TRY(machine_.SyncNetwork());
  creation.phases.End("hook_network");
  return {};
}

Result<void> Sandbox::KeepCreation(Creation& creation) {
  const ContainerRequest& request = creation.request;
  Container& container = creation.container;
  creation.phases.Log(creation.snapshot.empty() ? "container created" : "container restored");
  if (!creation.was_booted) {
    container.timing.from = machine_.guest()->origin();
    container.timing.booted = machine_.guest()->phases();
  }
  container.timing.created = creation.phases.list();
  LogIfFailed(SaveRootReport(id_, request.id, container.saved_by.root_words, machine_.records()));
  creation.undo.Add(
      [this, &request] { LogIfFailed(RemoveRootReport(id_, request.id, machine_.records())); });

  const auto process = std::make_shared<Process>("", request.stdio, creation.io);
  Report(request.id, *process);
  container.SetInit(process);
  KATA_TRY(members_.Keep(request.id));
  creation.undo.Release();
  process->Created(creation.caller.created);
  ShowProcesses(request.id, *creation.io, container);
  FollowStandIn(request.id, process);
  WaitForExit(request.id, process, container.on_files_back);
  EndWithMachine(*process);
  return {};
}

Result<void> Sandbox::OpenFor(const Creation& creation) {
  if (!booting_.Begin(creation.caller.deadline)) return BootsForAnother();
  const CallTurn turn(booting_);
  KATA_TRY(members_.CheckWanted(creation.request.id));
  if (machine_.is_open()) return {};
  config::Loaded effective = creation.config;
  const auto& annotations = creation.spec.annotations();
  KATA_TRY(config::ApplyAnnotations({annotations.begin(), annotations.end()}, &effective));
  for (size_t i = creation.config.warnings.size(); i < effective.warnings.size(); ++i) {
    log::Warn(effective.warnings[i]);
  }
  // Only such machines are saved, and front ends name no configuration for what they restore.
  if (!creation.snapshot.empty()) effective.config.hypervisor.shared_fs = "none";
  return machine_.Open(effective);
}

Result<void> Sandbox::BootFor(
    const Creation& creation,
    const std::function<Result<void>(const MachineSize& size, const std::string& network)>& boot) {
  const std::string& container_id = creation.request.id;
  const oci::Spec& spec = creation.spec;
  if (!booting_.Begin(creation.caller.deadline)) return BootsForAnother();
  const CallTurn turn(booting_);
  KATA_TRY(members_.CheckWanted(container_id));
  const MachineSize size = SizeOf(spec.linux().resources());
  if (machine_.booted()) {
    if (!creation.snapshot.empty()) return RunsAlready();
    Grow(container_id, spec.linux().resources());
    return {};
  }
  {
    const MutexLock sizes(mutex_);
    sizes_[container_id] = size;
  }
  machine_.UseCgroup(KATA_TRY(HostCgroupPath(spec.linux().cgroups_path())));
  if (auto booted = boot(size, NetworkOf(spec)); !booted) {
    members_.LoseMachine();
    return booted;
  }
  WatchOom();
  return {};
}

Result<void> Sandbox::Exec(const std::string& container_id, const std::string& exec_id,
                           const oci::Process& process, const StdioRequest& stdio,
                           const std::function<void()>& added) {
  const auto container = KATA_TRY(FindContainer(container_id));
  // Worded as containerd's runc shim does.
  if (KATA_TRY(container->Find(""))->ended()) {
    return Fail(Code::kUnknown, "cannot exec in a stopped state");
  }
  if (container->paused()) return Fail(Code::kUnknown, "cannot exec in a paused state");
  KATA_TRY(oci::ValidateId("exec id", exec_id));
  if (auto valid = oci::ValidateProcess(process); !valid) {
    return std::unexpected(oci::AsShimError(oci::Step::kExec, std::move(valid).error()));
  }
  Rollback undo;
  const auto io = KATA_TRY(ProcessIo::Open(loop_, stdio, container_namespace_, container_id));
  undo.Add([this, io] { CloseIo(*io); });
  if (io->logger_pid() > 0) machine_.record().AddProcess(io->logger_pid(), ProcessRole::kLogger);
  oci::Process guest_process = process;
  io->Describe(&guest_process);
  for (const std::string& note : oci::RemoveUnusableCapabilities(&guest_process)) {
    log::Warn(note, {{"exec", exec_id}});
  }
  const auto exec = std::make_shared<Process>(exec_id, stdio, io, guest_process);
  Report(container_id, *exec);
  KATA_TRY(container->AddExec(exec));
  undo.Release();
  exec->Created(added);
  FollowStandIn(container_id, exec);
  EndWithMachine(*exec);
  return {};
}

}  // namespace kata::sandbox
