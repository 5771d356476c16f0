// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/container.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/personality.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <string_view>

#include <fmt/format.h>

#include "guest/agent/cgroup/cgroup_dir.h"
#include "guest/agent/cgroup/cgroup_stats.h"
#include "guest/agent/cgroup/cpu_list.h"
#include "guest/agent/cgroup/device_filter.h"
#include "guest/agent/container/child.h"
#include "guest/agent/container/report.h"
#include "guest/agent/container/seccomp.h"
#include "guest/agent/container/spawn.h"
#include "guest/agent/container/user_namespace.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::guest {
namespace {

Result<void> CheckSpec(const oci::Spec& spec) {
  if (!spec.has_process()) return Fail(Code::kInvalidArgument, "spec: no process");
  if (!spec.root().path().starts_with('/')) {
    return Fail(Code::kInvalidArgument,
                fmt::format("spec: root \"{}\" is not an absolute path", spec.root().path()));
  }
  return {};
}

Result<std::optional<unsigned long>> PlanPersonality(const oci::Linux& linux_part) {
  if (!linux_part.has_personality()) return std::nullopt;
  const std::string& domain = linux_part.personality().domain();
  if (linux_part.personality().flags_size() > 0) {
    return Fail(Code::kInvalidArgument, "personality: flags are not supported");
  }
  if (domain == "LINUX") return PER_LINUX;
  if (domain == "LINUX32") return PER_LINUX32;
  return Fail(Code::kInvalidArgument, fmt::format("personality: unknown domain \"{}\"", domain));
}

// Without rules of its own a container may use the devices that it is given.
DeviceRules RulesOf(const oci::Spec& spec) {
  if (spec.linux().resources().devices_size() > 0) return spec.linux().resources().devices();
  DeviceRules rules;
  for (const oci::LinuxDevice& device : spec.linux().devices()) {
    if (device.type() != "b" && device.type() != "c" && device.type() != "u") continue;
    oci::LinuxDeviceCgroup* rule = rules.Add();
    rule->set_allow(true);
    rule->set_type(device.type() == "b" ? "b" : "c");
    rule->set_major(device.major());
    rule->set_minor(device.minor());
    rule->set_access("rwm");
  }
  return rules;
}

// The directory of the cgroup that `pid` is in.
Result<std::string> PathOfCgroup(pid_t pid, const std::string& root) {
  const std::string text = KATA_TRY(sys::ReadFile(fmt::format("/proc/{}/cgroup", pid), 1 << 16));
  const size_t begin = text.find("0::/");
  if (begin == std::string::npos) return Fail(Code::kInternal, "no version 2 cgroup");
  const size_t end = std::min(text.find('\n', begin), text.size());
  return root + text.substr(begin + 3, end - begin - 3);
}

Result<sys::UniqueFd> OpenCgroupOf(pid_t pid, const std::string& root) {
  return sys::Open(KATA_TRY(PathOfCgroup(pid, root)), O_RDONLY | O_DIRECTORY);
}

// Worded as runc does.
Error CannotJoin(const std::string& cgroup, int error_number) {
  return Error::FromErrnoWorded(
      error_number,
      fmt::format("error adding pid of the process to cgroups: {}/cgroup.procs: {}", cgroup,
                  error_number == EBUSY ? "device or resource busy" : "no such file or directory"));
}

// A cgroup below `container` that an exec asks for. "/" is the container's own.
Result<sys::UniqueFd> OpenCgroupBelow(const std::string& container, const std::string& path) {
  for (const auto part : std::views::split(path, '/')) {
    if (std::string_view(part.begin(), part.end()) == "..") {
      return Fail(Code::kInvalidArgument,
                  fmt::format("bad sub cgroup path: {} is not a sub cgroup path", path));
    }
  }
  const std::string whole = fmt::format("{}/{}", container, path);
  auto fd = sys::Open(whole, O_RDONLY | O_DIRECTORY);
  if (!fd && fd.error().code() == Code::kNotFound) {
    return std::unexpected(CannotJoin(whole, ENOENT));
  }
  return fd;
}

// Only one of the schedulers of disks keeps weights. A disk without it has none.
void UseWeights(const oci::LinuxBlockIO& io) {
  for (const auto& device : io.weight_device()) {
    (void)sys::WriteControl(
        fmt::format("/sys/dev/block/{}:{}/queue/scheduler", device.major(), device.minor()), "bfq");
  }
}

class LinuxContainer final : public Container {
 public:
  LinuxContainer(ContainerSpec spec, CgroupDir cgroup)
      : spec_(std::move(spec)), cgroup_(std::move(cgroup)) {}

  Result<PendingProcess> Start(ProcessStdio stdio) {
    InitContext context{.spec = spec_,
                        .process = KATA_TRY(PlanProcess(spec_.oci.process())),
                        .mounts = KATA_TRY(PlanMounts(spec_.oci)),
                        .stdio = std::move(stdio)};
    // It is for later processes only.
    context.process.scheduling.cpus.clear();
    if (spec_.oci.linux().has_seccomp()) {
      seccomp_ = KATA_TRY(CompileSeccomp(spec_.oci.linux().seccomp()));
    }
    personality_ = KATA_TRY(PlanPersonality(spec_.oci.linux()));
    user_ = KATA_TRY(MakeUserNamespace(spec_.oci.linux()));
    context.confinement = KATA_TRY(Confine());
    context.confinement.own_views = true;
    KATA_TRY_WITHIN("resources", Update(spec_.oci.linux().resources()));
    KATA_TRY(LimitDevices(RulesOf(spec_.oci)));
    ReportPair report = KATA_TRY(MakeReportPair());
    sys::Pipe start = KATA_TRY(sys::MakePipe());
    context.report = report.child.get();
    context.start = start.read.get();
    context.cgroup = cgroup_.path();
    capabilities_ = context.process.capabilities;

    const SpawnOptions options{.cgroup_fd = cgroup_.fd(),
                               .new_pid_namespace = spec_.shared.pid < 0,
                               .join_pid_namespace = spec_.shared.pid};
    Spawned child = KATA_TRY(Spawn(options));
    if (child.pid == 0) RunInitChild(std::move(context));
    init_pid_ = child.pid;
    init_pidfd_ = std::move(child.pidfd);
    return PendingProcess{child.pid, std::move(report.agent), std::move(start.write)};
  }

  Result<PendingProcess> Exec(const oci::Process& process, ProcessStdio stdio) override {
    if (InitHasEnded()) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("container \"{}\" is not running", spec_.id));
    }
    // A process born into a frozen cgroup would not even begin.
    if (frozen_) {
      return Fail(Code::kFailedPrecondition, fmt::format("container \"{}\" is paused", spec_.id));
    }
    ReportPair report = KATA_TRY(MakeReportPair());
    ExecContext context{.init_pidfd = init_pidfd_.get(),
                        .process = KATA_TRY(PlanProcess(process, capabilities_)),
                        .stdio = std::move(stdio),
                        .report = report.child.get(),
                        .confinement = KATA_TRY(Confine()),
                        .time_namespace = HasTimeNamespace()};
    const Spawned child = KATA_TRY(SpawnExec(process.cgroup()));
    if (child.pid == 0) RunExecChild(std::move(context));
    return PendingProcess{child.pid, std::move(report.agent), sys::UniqueFd()};
  }

  Result<void> Freeze(bool on) override {
    KATA_TRY(cgroup_.Freeze(on));
    frozen_ = on;
    return {};
  }
  Result<bool> Frozen() const override { return cgroup_.Frozen(); }

  Result<void> Update(const oci::LinuxResources& resources) const override {
    const oci::LinuxMemory& memory = resources.memory();
    if (memory.check_before_update() && memory.limit() > 0) {
      const uint64_t used = KATA_TRY(cgroup_.MemoryInUse());
      // Worded as runc does.
      const auto reject = [used](std::string_view what, int64_t limit) {
        return Fail(Code::kFailedPrecondition,
                    fmt::format("rejecting {} limit {} < usage {}", what, limit, used));
      };
      if (memory.swap() > 0 && used > static_cast<uint64_t>(memory.swap())) {
        return reject("memory+swap", memory.swap());
      }
      if (used > static_cast<uint64_t>(memory.limit())) return reject("memory", memory.limit());
    }
    oci::LinuxResources whole = resources;
    // Memory and swap together, as callers count, need the limit of memory that stays.
    if (memory.swap() > 0 && memory.limit() == 0) {
      whole.mutable_memory()->set_limit(KATA_TRY(cgroup_.MemoryLimit()));
    }
    // Quota and period are one file in version 2, and a quota that is not mentioned stays.
    if (whole.cpu().period() != 0 && whole.cpu().quota() == 0) {
      whole.mutable_cpu()->set_quota(KATA_TRY(cgroup_.CpuQuota()));
    }
    const std::vector<CgroupWrite> writes = KATA_TRY(PlanCgroup(whole, AvailableCpus()));
    KATA_TRY(CheckControllers(whole));
    UseWeights(whole.block_io());
    return cgroup_.Apply(writes);
  }

  Result<agent::StatsContainerResponse> Stats() const override {
    agent::StatsContainerResponse stats;
    *stats.mutable_cgroup_stats() = KATA_TRY(ReadCgroupStats(cgroup_.path()));
    // The guest's network is the container's.
    if (const auto text = sys::ReadFile("/proc/net/dev", 1 << 20)) ParseNetDev(*text, &stats);
    return stats;
  }

  Result<void> KillAll() override { return cgroup_.Kill(); }

  Result<void> SignalAll(int signal) override {
    std::vector<pid_t> signalled;
    // A process may fork while the list is read; a few rounds find the children, and a container
    // that forks faster than that is not helped by more.
    for (int round = 0; round < 5; ++round) {
      const size_t before = signalled.size();
      for (const pid_t pid : KATA_TRY(cgroup_.Pids())) {
        if (std::ranges::binary_search(signalled.begin(), signalled.begin() + before, pid)) {
          continue;
        }
        KATA_TRY(SignalMember(pid, signal));
        signalled.push_back(pid);
      }
      if (signalled.size() == before) break;
      std::ranges::sort(signalled);
    }
    return {};
  }

  Result<std::vector<pid_t>> Pids() const override { return cgroup_.Pids(); }
  const std::string& cgroup_path() const override { return cgroup_.path(); }
  Result<uint64_t> OomKills() const override { return cgroup_.OomKills(); }
  Result<void> Destroy() override { return cgroup_.Remove(); }

 private:
  // A number may be a stranger's by the time that it is used: what is held is a process, which is
  // asked for its cgroup then.
  Result<void> SignalMember(pid_t pid, int signal) const {
    const auto held = sys::OpenPidFd(pid);
    if (!held) {
      if (held.error().code() == Code::kNotFound) return {};
      return std::unexpected(held.error());
    }
    const std::string own = cgroup_.path() + '/';
    const auto path = PathOfCgroup(pid, spec_.cgroup_root);
    if (!path || !(*path + '/').starts_with(own)) return {};
    auto sent = sys::SignalPidFd(held->get(), signal);
    if (!sent && sent.error().error_number() == ESRCH) return {};
    return sent;
  }

  // Of the files that `unified` names; a controller's file that is missing is a plainer error.
  Result<void> CheckControllers(const oci::LinuxResources& resources) const {
    if (resources.unified().empty()) return {};
    std::string all = KATA_TRY(sys::ReadFile(cgroup_.path() + "/cgroup.controllers", 4096));
    std::ranges::replace(all, '\n', ' ');
    for (const auto& [file, value] : resources.unified()) {
      const std::string controller = file.substr(0, file.find('.'));
      if (!(" " + all).contains(fmt::format(" {} ", controller))) {
        return Fail(
            Code::kInvalidArgument,
            fmt::format("the requested cgroup controller `{}` is not available", controller));
      }
    }
    return {};
  }

  Result<Spawned> SpawnExec(const std::string& cgroup) const {
    SpawnOptions options{.cgroup_fd = cgroup_.fd(), .join_pid_namespace = init_pidfd_.get()};
    sys::UniqueFd inner;
    if (!cgroup.empty()) {
      inner = KATA_TRY(OpenCgroupBelow(cgroup_.path(), cgroup));
      options.cgroup_fd = inner.get();
    }
    auto child = Spawn(options);
    if (child || child.error().error_number() != EBUSY) return child;
    // The container has made cgroups of its own below, so its own may hold no process.
    if (!cgroup.empty()) return std::unexpected(CannotJoin(cgroup_.path() + cgroup, EBUSY));
    inner = KATA_TRY(OpenCgroupOf(init_pid_, spec_.cgroup_root));
    options.cgroup_fd = inner.get();
    return Spawn(options);
  }

  Result<void> LimitDevices(const DeviceRules& rules) {
    const std::vector<bpf_insn> program = KATA_TRY(MakeDeviceFilter(rules));
    device_filter_ = KATA_TRY(AttachDeviceFilter(cgroup_.fd(), program, device_filter_));
    return {};
  }

  Result<Confinement> Confine() const {
    Confinement confinement;
    confinement.seccomp = seccomp_;
    confinement.personality = personality_;
    confinement.user.uids = user_.uids;
    confinement.user.gids = user_.gids;
    if (user_.valid()) confinement.user.fd = KATA_TRY(sys::Duplicate(user_.fd.get()));
    return confinement;
  }

  bool HasTimeNamespace() const {
    return std::ranges::any_of(spec_.oci.linux().namespaces(),
                               [](const auto& wanted) { return wanted.type() == "time"; });
  }

  // A pidfd becomes readable when its process ends, so a pid that is in use again never deceives.
  bool InitHasEnded() const {
    pollfd entry{.fd = init_pidfd_.get(), .events = POLLIN, .revents = 0};
    return !init_pidfd_ || ::poll(&entry, 1, 0) != 0;
  }

  ContainerSpec spec_;
  CgroupDir cgroup_;
  sys::UniqueFd device_filter_;
  sys::CapabilitySets capabilities_;
  UserNamespace user_;
  std::optional<SeccompFilter> seccomp_;
  std::optional<unsigned long> personality_;
  bool frozen_ = false;  // has been asked to freeze
  pid_t init_pid_ = -1;
  sys::UniqueFd init_pidfd_;
};

}  // namespace

Result<Container::Created> Container::Create(ContainerSpec spec, ProcessStdio stdio) {
  KATA_TRY(CheckSpec(spec.oci));
  const std::string path = PlanCgroupPath(spec.oci.linux().cgroups_path(), spec.id);
  CgroupDir cgroup = KATA_TRY(CgroupDir::Create(spec.cgroup_root, path));
  auto container = std::make_unique<LinuxContainer>(std::move(spec), std::move(cgroup));
  auto init = container->Start(std::move(stdio));
  if (!init) {
    (void)container->Destroy();
    return std::unexpected(std::move(init).error());
  }
  return Created{std::move(container), *std::move(init)};
}

}  // namespace kata::guest
