// SPDX-License-Identifier: Apache-2.0
//
// A pod's own life: its machine begins without a container, and ends when it is told to.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <future>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/annotations.h"
#include "host/machine/host_cgroup.h"
#include "host/plan/sandbox_request.h"
#include "host/sandbox/pod.h"
#include "host/sandbox/sandbox.h"
#include "sys/files.h"
#include "sys/netns.h"

namespace kata::sandbox {
namespace {

// A container that does not end within this, once killed, ends with its machine.
constexpr auto kKillPatience = std::chrono::seconds(10);

Result<void> CheckSysctls(const std::map<std::string, std::string>& sysctls) {
  for (const auto& [name, value] : sysctls) {
    if (name.empty() || name.find("..") != std::string::npos || name.starts_with('/')) {
      return Fail(Code::kInvalidArgument, fmt::format("sysctl \"{}\": no such name", name));
    }
  }
  return {};
}

// Where they are, by the same paths.
Result<std::map<std::string, std::string>> WriteFiles(const PodRequest& request) {
  std::map<std::string, std::string> written;
  for (const auto& [path, content] : request.files) {
    const std::string file =
        fmt::format("{}/{}", request.directory, path.substr(path.rfind('/') + 1));
    KATA_TRY(sys::ReplaceFile(file, content));
    written[path] = file;
  }
  return written;
}

}  // namespace

Result<sys::UniqueFd> HoldNetwork(const std::string& path) {
  auto held = sys::OpenNetworkNamespace(path);
  if (held || held.error().code() != Code::kInvalidArgument) return held;
  log::Warn("the pod has a network with nothing in it", {{"reason", held.error().message()}});
  return sys::UniqueFd();
}

Result<void> Sandbox::CreatePod(const PodRequest& request) {
  KATA_TRY(pod_.BeginCreate());
  auto created = OpenPod(request);
  if (!created) members_.DropHold();
  pod_.CreateDone(created.has_value());
  return Explained(std::move(created));
}

Result<void> Sandbox::OpenPod(const PodRequest& request) {
  KATA_TRY(members_.Hold());
  KATA_TRY(CheckSysctls(request.sysctls));
  Pod pod{.hostname = request.hostname,
          .network_path = request.network,
          .network = fmt::format("/proc/{}/ns/net", ::getpid()),
          .held_network = {},
          .cgroup = KATA_TRY(HostCgroupPath(request.cgroups_path)),
          .sysctls = request.sysctls,
          .files = KATA_TRY(WriteFiles(request))};
  if (!request.network.empty()) {
    pod.held_network = KATA_TRY(HoldNetwork(request.network));
    pod.network = pod.held_network ? request.network : "";
  }
  config::Loaded effective = request.config;
  KATA_TRY(config::ApplyAnnotations(request.annotations, &effective));
  for (size_t i = request.config.warnings.size(); i < effective.warnings.size(); ++i) {
    log::Warn(effective.warnings[i]);
  }
  KATA_TRY(machine_.Open(effective));
  // Whoever deletes the sandbox by its id means all of it.
  machine_.record().AddContainer(id_);
  const MutexLock lock(mutex_);
  pod_made_of_ = std::move(pod);
  return {};
}

Result<void> Sandbox::StartPod() {
  KATA_TRY(pod_.BeginStart());
  auto booted = Explained(BootPod());
  if (!booted) {
    pod_.StartFailed();
    return booted;
  }
  members_.OpenHold();
  if (!pod_.Started()) return Fail(Code::kCancelled, "the sandbox was stopped as it started");
  // It may have ended before anybody looked.
  if (!machine_.alive()) pod_.MachineEnded();
  WatchOom();
  return {};
}

Result<void> Sandbox::BootPod() {
  const auto config = machine_.config();
  agent::CreateSandboxRequest request;
  std::string network;
  {
    const MutexLock lock(mutex_);
    request = SandboxRequest(id_, pod_made_of_.hostname, machine_.shares_files(),
                             config->agent.kernel_modules);
    for (const auto& [name, value] : pod_made_of_.sysctls) {
      (*request.mutable_sysctls())[name] = value;
    }
    network = pod_made_of_.network;
    machine_.UseCgroup(pod_made_of_.cgroup);
  }
  request.set_without_first(true);
  KATA_TRY(machine_.Boot({}, request, network));
  machine_.ShareLoopback();
  machine_.AwaitBoot();
  return {};
}

Result<void> Sandbox::StopPod(std::chrono::seconds patience) {
  if (!KATA_TRY(pod_.BeginStop([this] { machine_.Abort(); }))) return {};
  members_.EndHold();
  if (machine_.alive()) EndContainers(patience);
  machine_.Abort();
  members_.AwaitQuiet();
  machine_.Stop();
  for (const auto& container : members_.All()) {
    for (const auto& process : container->Processes()) {
      process->Exited({.status = kKilled, .at = std::chrono::system_clock::now()});
    }
  }
  ReleasePod();
  pod_.Stopped();
  return {};
}

void Sandbox::EndContainers(std::chrono::seconds patience) {
  const Deadline deadline =
      Deadline::After(patience.count() > 0 ? std::min(patience, kKillPatience) : kKillPatience);
  const auto containers = members_.All();
  std::vector<std::future<void>> ends;
  for (const auto& container : containers) {
    const auto init = container->Find("");
    if (!init || (*init)->ended()) continue;
    if (!Kill(container->id(), "", SIGKILL, true)) continue;
    const auto ended = std::make_shared<std::promise<void>>();
    ends.push_back(ended->get_future());
    (*init)->OnExit([ended](const ExitInfo&) { ended->set_value(); });
  }
  for (const auto& end : ends) (void)end.wait_until(deadline.when());
  // What they have written comes out of the guest before that ends.
  for (const auto& container : containers) RemoveFromGuest(*container, true, false);
}

void Sandbox::ReleasePod() {
  sys::UniqueFd network;  // goes without the lock
  const MutexLock lock(mutex_);
  network = std::move(pod_made_of_.held_network);
}

std::map<std::string, std::string> Sandbox::pod_files() const {
  const MutexLock lock(mutex_);
  return pod_made_of_.files;
}

std::string Sandbox::pod_network() const {
  const MutexLock lock(mutex_);
  return pod_made_of_.network_path;
}

Result<void> Sandbox::PingPod() {
  if (pod_.view().state != PodLife::State::kReady || !machine_.alive()) {
    return Fail(Code::kFailedPrecondition, "the sandbox does not run");
  }
  return Explained(machine_.agent()->WaitUntilServing(RequestDeadline()));
}

std::vector<agent::StatsContainerResponse> Sandbox::PodStats() {
  std::vector<agent::StatsContainerResponse> all;
  for (const auto& container : members_.All()) {
    // One that has just ended has used what it has; the guest no longer tells.
    if (auto stats = Stats(container->id())) all.push_back(*std::move(stats));
  }
  return all;
}

}  // namespace kata::sandbox
