// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/agent.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "guest/agent/bring_back.h"
#include "guest/agent/ids.h"
#include "guest/agent/modules/sandbox_modules.h"
#include "guest/agent/mount_storages.h"
#include "guest/agent/run_in_child.h"
#include "guest/agent/storage/grow.h"

namespace kata::guest {
namespace {

constexpr int kMaxStorages = 1024;
constexpr int kMaxDevices = 1024;
constexpr std::chrono::seconds kDestroyTimeout{10};

template <class List>
std::vector<const agent::Storage*> Pointers(const List& storages) {
  std::vector<const agent::Storage*> pointers;
  for (const agent::Storage& storage : storages) pointers.push_back(&storage);
  return pointers;
}

template <class List>
Result<bool> StoragesAreReady(const List& storages) {
  for (const agent::Storage& storage : storages) {
    if (!KATA_TRY(StorageIsReady(storage))) return false;
  }
  return true;
}

// Work that has nothing to say but whether it was done.
void DoInChild(sys::EventLoop& loop, const std::function<Result<void>()>& work, Agent::Done done) {
  const auto finish = std::make_shared<Agent::Done>(std::move(done));
  const auto begun = RunInChild(
      loop,
      [&]() -> Result<std::string> {
        KATA_TRY(work());
        return std::string();
      },
      [finish](const Result<std::string>& result) {
        if (!result) return (*finish)(std::unexpected(result.error()));
        (*finish)({});
      });
  if (!begun) (*finish)(begun);
}

}  // namespace

Agent::Agent(sys::EventLoop& loop, Config config, std::function<void()> stop)
    : loop_(loop),
      config_(std::move(config)),
      stop_(std::move(stop)),
      devices_(loop),
      thrash_(loop),
      oom_(loop, [this](const std::string& id) { thrash_.Notice(id); }),
      plugged_(loop, "/sys"),
      names_(loop),
      ports_(loop),
      connections_(loop),
      freezer_(loop, containers_, waiting_calls_) {}

bool Agent::IsInit() { return ::getpid() == 1; }

Result<GuestNetwork*> Agent::network() {
  if (!sandbox_) return Fail(Code::kFailedPrecondition, "there is no sandbox yet");
  return &sandbox_->network();
}

void Agent::CreateSandbox(agent::CreateSandboxRequest request, Done done) {
  if (sandbox_ || creating_sandbox_) {
    return done(Fail(Code::kAlreadyExists, "this guest has a sandbox already"));
  }
  if (!request.sandbox_id().empty()) {
    if (auto valid = CheckId("sandbox id", request.sandbox_id()); !valid) return done(valid);
  }
  if (request.storages_size() > kMaxStorages) {
    return done(Fail(Code::kInvalidArgument, "too many storages"));
  }
  if (!request.guest_hook_path().empty()) {
    log::Warn("guest hooks are not run", {{"guest_hook_path", request.guest_hook_path()}});
  }
  if (auto valid = CheckModules(request); !valid) return done(std::move(valid));
  creating_sandbox_ = true;
  const auto shared = std::make_shared<agent::CreateSandboxRequest>(std::move(request));
  if (shared->kernel_modules().empty()) return MakeSandbox(shared, std::move(done));
  const auto finish = std::make_shared<Done>(std::move(done));
  const auto forked = RunInChild(
      loop_,
      [shared]() -> Result<std::string> {
        KATA_TRY(LoadSandboxModules(*shared));
        return std::string();
      },
      [this, shared, finish](const Result<std::string>& loaded) {
        if (loaded) return MakeSandbox(shared, std::move(*finish));
        creating_sandbox_ = false;
        (*finish)(std::unexpected(loaded.error()));
      });
  if (forked) return;
  creating_sandbox_ = false;
  (*finish)(forked);
}

void Agent::MakeSandbox(const std::shared_ptr<agent::CreateSandboxRequest>& shared, Done done) {
  devices_.Wait([shared] { return StoragesAreReady(shared->storages()); }, config_.hotplug_timeout,
                [this, shared, done = std::move(done)](Result<void> ready) mutable {
                  if (!ready) {
                    creating_sandbox_ = false;
                    return done(std::move(ready));
                  }
                  MountStorages(loop_, storages_, Pointers(shared->storages()),
                                [this, shared, done = std::move(done)](auto mounted) mutable {
                                  creating_sandbox_ = false;
                                  done(FinishSandbox(*shared, std::move(mounted)));
                                });
                });
}

Result<void> Agent::FinishSandbox(const agent::CreateSandboxRequest& request,
                                  Result<std::vector<std::string>> mounted) {
  std::vector<std::string> points = KATA_TRY(std::move(mounted));
  auto sandbox = Sandbox::Create(request);
  if (!sandbox) {
    LogIfFailed(storages_.Release(points));
    return std::unexpected(std::move(sandbox).error());
  }
  sandbox_ = *std::move(sandbox);
  sandbox_->mount_points = std::move(points);
  log::Info("sandbox created", {{"sandbox", sandbox_->id()}});
  return {};
}

void Agent::ReconfigureMount(const std::string& mount_point, Done done) {
  if (auto mounted = storages_.CheckMounted(mount_point); !mounted) return done(mounted);
  DoInChild(loop_, [&] { return StorageTable::Reconfigure(mount_point); }, std::move(done));
}

void Agent::GrowStorage(const std::string& mount_point, uint64_t bytes, Done done) {
  if (auto mounted = storages_.CheckMounted(mount_point); !mounted) return done(mounted);
  devices_.Wait(
      [mount_point, bytes] { return DiskHas(mount_point, bytes); }, config_.hotplug_timeout,
      [this, mount_point, done = std::move(done)](Result<void> large) mutable {
        if (!large) {
          return done(std::unexpected(
              std::move(large).error().Within(fmt::format("larger disk of \"{}\"", mount_point))));
        }
        DoInChild(loop_, [&] { return GrowFileSystem(mount_point); }, std::move(done));
      });
}

void Agent::DestroySandbox(Done done) {
  struct Destruction {
    size_t left = 1;
    Result<void> result;
    Done done;
  };
  const auto all = std::make_shared<Destruction>();
  all->done = std::move(done);
  const auto one_done = [this, all](Result<void> result) {
    if (!result && all->result) all->result = std::move(result);
    if (--all->left > 0) return;
    if (sandbox_) {
      auto released = storages_.ReleaseAll();
      if (!released && all->result) all->result = std::move(released);
      log::Info("sandbox destroyed", {{"sandbox", sandbox_->id()}});
      sandbox_.reset();
    }
    all->done(std::move(all->result));
  };
  std::vector<ContainerTable::EntryPtr> entries;
  for (const auto& [id, entry] : containers_.entries()) entries.push_back(entry);
  all->left += entries.size();
  for (const auto& entry : entries) RemoveContainer(entry, kDestroyTimeout, one_done);
  one_done({});
}

// One CreateContainer under way.
struct Agent::Creation {
  agent::CreateContainerRequest request;
  ContainerTable::EntryPtr entry;
  Done done;
};

void Agent::CreateContainer(agent::CreateContainerRequest request, Done done) {
  const std::string& id = request.container_id();
  if (auto valid = CheckId("container id", id); !valid) return done(std::move(valid));
  if (!sandbox_) return done(Fail(Code::kFailedPrecondition, "there is no sandbox yet"));
  if (auto thawed = freezer_.CheckThawed(); !thawed) return done(std::move(thawed));
  if (!request.has_oci() || !request.oci().has_process()) {
    return done(Fail(Code::kInvalidArgument, "the container's specification has no process"));
  }
  if (request.storages_size() > kMaxStorages || request.devices_size() > kMaxDevices) {
    return done(Fail(Code::kInvalidArgument, "too many storages or devices"));
  }
  auto entry = containers_.Add(id);
  if (!entry) return done(std::unexpected(std::move(entry).error()));
  const auto creation =
      std::make_shared<Creation>(Creation{std::move(request), *entry, std::move(done)});
  const auto ready = [creation]() -> Result<bool> {
    for (const agent::Device& device : creation->request.devices()) {
      if (!KATA_TRY(DeviceIsReady(device))) return false;
    }
    return StoragesAreReady(creation->request.storages());
  };
  devices_.Wait(ready, config_.hotplug_timeout, [this, creation](Result<void> there) {
    if (!there) return FinishCreation(creation, std::move(there));
    PrepareContainer(creation);
  });
}

void Agent::PrepareContainer(const std::shared_ptr<Creation>& creation) {
  ContainerEntry& entry = *creation->entry;
  if (entry.removing() || entry.removed) {
    return FinishCreation(creation, Fail(Code::kAborted, "the container is being removed"));
  }
  if (!sandbox_) {
    return FinishCreation(creation,
                          Fail(Code::kFailedPrecondition, "the sandbox has been destroyed"));
  }
  MountStorages(loop_, storages_, Pointers(creation->request.storages()),
                [this, creation](auto mounted) {
                  if (!mounted) return FinishCreation(creation, std::unexpected(mounted.error()));
                  creation->entry->mount_points = *std::move(mounted);
                  StartPrepared(creation);
                });
}

void Agent::StartPrepared(const std::shared_ptr<Creation>& creation) {
  ContainerEntry& entry = *creation->entry;
  if (entry.removed) {
    // It went while its volumes were given to their groups.
    LogIfFailed(storages_.Release(std::exchange(entry.mount_points, {})));
    return FinishCreation(creation, Fail(Code::kAborted, "the container is being removed"));
  }
  if (auto started = StartCreation(*creation); !started) {
    return FinishCreation(creation, std::move(started));
  }
  entry.init->WhenReady(
      [this, creation](Result<void> ready) { FinishCreation(creation, std::move(ready)); });
}

Result<void> Agent::StartCreation(Creation& creation) {
  ContainerEntry& entry = *creation.entry;
  agent::CreateContainerRequest& request = creation.request;
  if (!sandbox_) return Fail(Code::kFailedPrecondition, "the sandbox has been destroyed");
  oci::Spec& spec = *request.mutable_oci();
  for (const agent::Device& device : request.devices()) KATA_TRY(AddDevice(device, &spec));
  const bool share_pid = request.sandbox_pidns() || sandbox_->shares_pid();
  if (share_pid) KATA_TRY(sandbox_->PreparePid());
  StdioPair stdio = KATA_TRY(MakeStdio(spec.process(), config_.container_pipe_size));
  const oci::Box console = spec.process().console_size();
  sandbox_->network().ClaimSettings(spec.linux());
  entry.init = std::make_shared<Process>(loop_, "", stdio);
  SharedNamespaces shared = sandbox_->NamespacesFor(share_pid);
  for (const oci::LinuxNamespace& wanted : spec.linux().namespaces()) {
    if (wanted.own() && wanted.type() == "uts") shared.uts = -1;
    if (wanted.own() && wanted.type() == "ipc") shared.ipc = -1;
  }
  Container::Created created = KATA_TRY(Container::Create(
      {.id = entry.id, .oci = std::move(spec), .shared = shared}, std::move(stdio.child)));
  entry.container = std::move(created.container);
  entry.init->Follow(std::move(created.init), config_.launch_process_timeout);
  entry.init->set_initial_size(console.height(), console.width());
  return {};
}

void Agent::FinishCreation(const std::shared_ptr<Creation>& creation, Result<void> result) {
  const ContainerTable::EntryPtr& entry = creation->entry;
  if (result && !entry->removing() && !entry->removed) {
    entry->created = true;
    if (sandbox_) LogIfFailed(sandbox_->KeepPidNamespace(entry->init->pid()));
    if (auto watched = oom_.Add(entry->id, *entry->container); !watched) {
      log::Warn("no OOM events", {{"container", entry->id}, {"error", watched.error().message()}});
    }
    thrash_.Add(entry->id, *entry->container);
    log::Info("container created", {{"container", entry->id}, {"pid", entry->init->pid()}});
    return creation->done({});
  }
  if (result) result = Fail(Code::kAborted, "the container is being removed");
  // The host may take its own things away once it has the answer, so the answer comes last.
  RemoveContainer(entry, kDestroyTimeout, [creation, result](const Result<void>& removed) {
    if (!removed) {
      log::Error("cannot clean up",
                 {{"container", creation->entry->id}, {"error", removed.error().message()}});
    }
    creation->done(result);
  });
}

// One removal under way; the calls that wait for it are in the entry.
struct Agent::Removal {
  ContainerTable::EntryPtr entry;
  Deadline deadline;
  std::chrono::milliseconds pause{1};
};

void Agent::RemoveContainer(const ContainerTable::EntryPtr& entry,
                            std::chrono::milliseconds timeout, Done done) {
  if (entry->removed) return done({});
  const bool under_way = entry->removing();
  entry->removals.push_back(std::move(done));
  if (under_way) return;
  if (entry->container) {
    if (auto killed = entry->container->KillAll(); !killed) {
      log::Warn("kill", {{"container", entry->id}, {"error", killed.error().message()}});
    }
  }
  // A child that is still being set up may not be in the cgroup yet.
  if (entry->init) (void)entry->init->Signal(SIGKILL);
  for (const auto& [id, exec] : entry->execs) (void)exec->Signal(SIGKILL);
  ContinueRemoval(std::make_shared<Removal>(Removal{entry, Deadline::After(timeout)}));
}

void Agent::ContinueRemoval(const std::shared_ptr<Removal>& removal) {
  ContainerEntry& entry = *removal->entry;
  Result<void> destroyed = Fail(Code::kUnavailable, "its processes have not ended");
  if (entry.AllExited()) {
    oom_.Remove(entry.id);
    thrash_.Remove(entry.id);
    destroyed = entry.container ? entry.container->Destroy() : Result<void>();
  }
  const bool busy = !destroyed && destroyed.error().code() == Code::kUnavailable;
  if (!busy) {
    // Nothing writes any more.
    return BringUppersBack(loop_, storages_, removal->entry,
                           [this, removal, destroyed](Result<void> back) {
                             FinishRemoval(removal, destroyed, std::move(back));
                           });
  }
  if (removal->deadline.Passed()) {
    return FinishRemoval(
        removal, std::unexpected(Error(Code::kDeadlineExceeded, destroyed.error().message())), {});
  }
  // The cgroup's last process may be an orphan, of whose end no event tells in time.
  constexpr std::chrono::milliseconds kMaxPause{50};
  loop_.RunAfter(removal->pause, [this, removal] { ContinueRemoval(removal); });
  removal->pause = std::min(removal->pause * 2, kMaxPause);
}

void Agent::FinishRemoval(const std::shared_ptr<Removal>& removal, const Result<void>& result,
                          Result<void> back) {
  ContainerEntry& entry = *removal->entry;
  Result<void> outcome = result;
  if (outcome) {
    outcome = storages_.Release(entry.mount_points);
    entry.mount_points.clear();
    if (entry.init) entry.init->AbandonStreams();
    if (sandbox_ && entry.init) sandbox_->ForgetPidNamespace(entry.init->pid());
    for (const auto& [id, exec] : entry.execs) exec->AbandonStreams();
    containers_.Erase(entry.id);
    entry.removed = true;
    log::Info("container removed", {{"container", entry.id}});
    // The container goes all the same: the host keeps the disk, and knows by this that it must.
    if (outcome && !back)
      outcome = std::unexpected(std::move(back).error().WithCode(Code::kDataLoss));
  }
  if (!outcome) outcome = std::unexpected(outcome.error().Within("remove " + entry.id));
  for (Done& done : std::exchange(entry.removals, {})) done(outcome);
}

void Agent::ExecProcess(agent::ExecProcessRequest request, Done done) {
  const std::string exec_id = request.exec_id();
  const auto start = [&]() -> Result<std::shared_ptr<Process>> {
    const ContainerTable::EntryPtr entry = KATA_TRY(containers_.Find(request.container_id()));
    KATA_TRY(CheckId("exec id", exec_id));
    KATA_TRY(freezer_.CheckThawed());
    ContainerTable::Tidy(*entry);
    constexpr size_t kMaxExecs = 4096;
    const auto existing = entry->execs.find(exec_id);
    if (exec_id == entry->id || (existing != entry->execs.end() && !existing->second->collected)) {
      return Fail(Code::kAlreadyExists, fmt::format("process \"{}\" already exists", exec_id));
    }
    if (entry->execs.size() >= kMaxExecs) {
      return Fail(Code::kResourceExhausted, "too many processes were executed into the container");
    }
    if (!request.has_process()) return Fail(Code::kInvalidArgument, "no process to execute");
    if (entry->removing() || entry->init->exited()) {
      return Fail(Code::kFailedPrecondition, "the container has stopped");
    }
    if (entry->paused) return Fail(Code::kFailedPrecondition, "the container is paused");
    StdioPair stdio = KATA_TRY(MakeStdio(request.process(), config_.container_pipe_size));
    auto process = std::make_shared<Process>(loop_, exec_id, stdio);
    PendingProcess pending =
        KATA_TRY(entry->container->Exec(request.process(), std::move(stdio.child)));
    entry->execs[exec_id] = process;
    process->Follow(std::move(pending), config_.launch_process_timeout);
    process->set_initial_size(request.process().console_size().height(),
                              request.process().console_size().width());
    return process;
  };
  auto process = start();
  if (!process) return done(std::unexpected(std::move(process).error()));
  const auto entry = containers_.FindAny(request.container_id());
  Process& started = **process;
  started.WhenRunning(
      [entry, exec_id, process = *process, done = std::move(done)](Result<void> running) mutable {
        if (running) return done({});
        // Its table entry goes when it was reaped; until then the pid must be known as ours.
        process->collected = true;
        process->AbandonStreams();
        process->WhenExited([entry](sys::ExitStatus) { ContainerTable::Tidy(*entry); });
        done(std::move(running));
      });
}

Result<void> Agent::RenameContainer(const std::string& id, const std::string& now) {
  if (id == now) return {};
  if (freezer_.CheckThawed()) {
    return Fail(Code::kFailedPrecondition, "only what is frozen can be renamed");
  }
  const ContainerTable::EntryPtr entry = KATA_TRY(containers_.Rename(id, now));
  // Their news go by the name.
  oom_.Remove(id);
  thrash_.Remove(id);
  LogIfFailed(oom_.Add(now, *entry->container));
  thrash_.Add(now, *entry->container);
  log::Info("container renamed", {{"container", id}, {"now", now}});
  return {};
}

Result<void> Agent::SetHostname(const std::string& hostname) {
  if (!sandbox_) return Fail(Code::kFailedPrecondition, "there is no sandbox yet");
  return sandbox_->SetHostname(hostname);
}

void Agent::Freeze(const ContainerTable::EntryPtr& entry, bool on, Done done) {
  if (auto thawed = freezer_.CheckThawed(); !thawed) return done(std::move(thawed));
  if (entry->init->exited()) {
    return done(Fail(Code::kFailedPrecondition, "the container has stopped"));
  }
  if (auto asked = entry->container->Freeze(on); !asked) return done(std::move(asked));
  entry->paused = on;
  constexpr std::chrono::seconds kFreezeTimeout{10};
  if (!on) return AwaitFrozen(entry, on, Deadline::After(kFreezeTimeout), std::move(done));
  AwaitFrozen(entry, on, Deadline::After(kFreezeTimeout),
              [this, entry, done = std::move(done)](Result<void> frozen) mutable {
                if (!frozen) return done(std::move(frozen));
                BringBackPaused(entry, std::move(done));
              });
}

void Agent::BringBackPaused(const ContainerTable::EntryPtr& entry, Done done) {
  BringUppersBack(loop_, storages_, entry,
                  [entry, done = std::move(done)](Result<void> back) mutable {
                    if (!back && entry->container->Freeze(false)) entry->paused = false;
                    done(std::move(back));
                  });
}

void Agent::AwaitFrozen(const ContainerTable::EntryPtr& entry, bool on, Deadline deadline,
                        Done done) {
  if (entry->removed) return done(Fail(Code::kNotFound, "the container has been removed"));
  const Result<bool> frozen = entry->container->Frozen();
  if (!frozen) return done(std::unexpected(frozen.error()));
  if (*frozen == on) return done({});
  if (deadline.Passed() || entry->removing()) {
    if (on && entry->container->Freeze(false)) entry->paused = false;
    return done(Fail(Code::kDeadlineExceeded, "the container's processes did not freeze in time"));
  }
  constexpr std::chrono::milliseconds kPause{2};
  loop_.RunAfter(kPause, [this, entry, on, deadline, done = std::move(done)]() mutable {
    AwaitFrozen(entry, on, deadline, std::move(done));
  });
}

void Agent::SettleEnd(const ContainerTable::EntryPtr& entry, std::move_only_function<void()> done) {
  BringUppersBackAtEnd(loop_, storages_, entry, std::move(done));
}

void Agent::OnChildExit(pid_t pid, sys::ExitStatus status) {
  const ContainerTable::Owner owner = containers_.FindPid(pid);
  if (!owner.process) return;
  log::Debug("process ended", {{"container", owner.entry->id},
                               {"exec", owner.process->id()},
                               {"status", status.Describe()}});
  oom_.Check(owner.entry->id);
  owner.process->HasExited(status);
}

void Agent::StopSoon() {
  if (std::exchange(stopping_, true)) return;
  constexpr std::chrono::milliseconds kTimeForAnswers{20};
  loop_.RunAfter(kTimeForAnswers, [this] { stop_(); });
}

}  // namespace kata::guest
