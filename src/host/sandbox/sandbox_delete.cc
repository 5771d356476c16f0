// SPDX-License-Identifier: Apache-2.0
//
// Removing containers and execs.
#include <chrono>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/sandbox/sandbox.h"

namespace kata::sandbox {
namespace {

using std::chrono::seconds;

// How long output may stand still after its process has ended before the rest is given up.
constexpr auto kDrainPatience = seconds(2);
// Removing a container is a courtesy to the guest; the host does not depend on it.
constexpr auto kRemoveTimeout = seconds(5);

}  // namespace

Result<ExitInfo> Sandbox::Delete(const std::string& container_id, const std::string& exec_id) {
  const auto container = KATA_TRY(FindContainer(container_id));
  return exec_id.empty() ? DeleteContainer(*container) : DeleteExec(*container, exec_id);
}

Result<ExitInfo> Sandbox::DeleteExec(Container& container, const std::string& exec_id) {
  const auto process = KATA_TRY(container.Find(exec_id));
  if (process->state() == ProcessState::kRunning) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("exec \"{}\" still runs; kill it first", exec_id));
  }
  if (process->state() == ProcessState::kStopped) (void)process->io().Drain(kDrainPatience);
  process->io().Close();
  container.RemoveExec(exec_id);
  return process->exit();
}

Result<ExitInfo> Sandbox::DeleteContainer(Container& container) {
  const auto init = KATA_TRY(container.Find(""));
  if (init->state() == ProcessState::kRunning) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("container \"{}\" still runs; kill it first", container.id()));
  }
  KATA_TRY(container.ClaimDelete());
  const bool drained = init->state() != ProcessState::kStopped || init->io().Drain(kDrainPatience);
  if (!drained) log::Warn("output of a container that has ended does not come");
  RemoveFromGuest(container, drained);
  container.hooks().RunPoststop();
  for (const auto& process : container.Processes()) {
    process->Exited({.status = kKilled, .at = std::chrono::system_clock::now()});
    process->io().Close();
  }
  machine_.ForgetContainer(container.id());
  bool last;
  MachineSize left;
  {
    const std::lock_guard lock(mutex_);
    containers_.erase(container.id());
    sizes_.erase(container.id());
    left = SumOfSizes();
    last = containers_.empty();
  }
  if (last) {
    machine_.Stop();
  } else {
    machine_.Ask(left);
  }
  return init->exit();
}

bool Sandbox::OthersThan(const std::string& container_id) const {
  const std::lock_guard lock(mutex_);
  return containers_.size() > 1 || !containers_.contains(container_id);
}

void Sandbox::RemoveFromGuest(Container& container, bool drained) {
  const bool others = OthersThan(container.id());
  // The last one ends with its machine, unless something has to come out of it first.
  if (machine_.alive() && (!drained || others || machine_.HoldsWrites())) {
    if (auto removed = machine_.agent().RemoveContainer(container.id(), kRemoveTimeout); !removed) {
      log::Warn(
          "the guest does not remove a container",
          {{"container", container.id()}, {"error", machine_.Explain(removed.error()).message()}});
    }
  }
  if (const auto guest = container.TakeGuest()) guest->Remove(machine_, !others);
}

}  // namespace kata::sandbox
