// SPDX-License-Identifier: Apache-2.0
//
// Removing containers and execs.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/record/root_report.h"
#include "host/record/timing.h"
#include "host/sandbox/sandbox.h"

namespace kata::sandbox {
namespace {

using std::chrono::seconds;

// How long output may stand still after its process has ended before the rest is given up.
constexpr auto kDrainPatience = seconds(2);
// Removing a container is a courtesy to the guest; the host does not depend on it.
constexpr auto kRemoveTimeout = seconds(5);
// The same where it brings files back.
constexpr std::chrono::milliseconds kBringBackTime = GuestContainer::kBringBackTime;
constexpr auto kFlushTimeout = seconds(30);

}  // namespace

bool Sandbox::UndoCreation(const std::string& container_id) {
  switch (members_.Abandon(container_id)) {
    case Members::Abandoned::kNothing:
      return false;
    case Members::Abandoned::kWithMachine:
      // What waits for its boot or its guest ends at once.
      machine_.Abort();
      break;
    case Members::Abandoned::kWithoutMachine:
      break;
  }
  members_.AwaitUndone(container_id);
  return true;
}

Result<ExitInfo> Sandbox::Delete(const std::string& container_id, const std::string& exec_id) {
  if (exec_id.empty() && UndoCreation(container_id)) {
    return Fail(Code::kNotFound, fmt::format("no container \"{}\"", container_id));
  }
  const auto container = KATA_TRY(FindContainer(container_id));
  return exec_id.empty() ? DeleteContainer(*container) : DeleteExec(*container, exec_id);
}

Result<ExitInfo> Sandbox::DeleteExec(Container& container, const std::string& exec_id) {
  const auto process = KATA_TRY(container.Find(exec_id));
  KATA_TRY_WITHIN(fmt::format("delete exec \"{}\"", exec_id), process->BeginDelete());
  (void)process->io().Drain(kDrainPatience);
  process->Exited({.status = kKilled, .at = std::chrono::system_clock::now()});
  CloseIo(process->io());
  process->Deleted(
      [&, exit = process->exit()] { observer_.on_deleted(container.id(), exec_id, exit); });
  container.RemoveExec(exec_id);
  return process->exit();
}

Result<ExitInfo> Sandbox::DeleteContainer(Container& container) {
  const auto init = KATA_TRY(container.Find(""));
  KATA_TRY_WITHIN(fmt::format("delete container \"{}\"", container.id()), init->BeginDelete());
  const bool last = members_.BeginDelete(container.id());
  const bool drained = init->io().Drain(kDrainPatience);
  if (!drained) log::Warn("output of a container that has ended does not come");
  RemoveFromGuest(container, drained, last);
  container.hooks().RunPoststop();
  for (const auto& process : container.Close()) {
    const ExitInfo killed = {.status = kKilled, .at = std::chrono::system_clock::now()};
    if (process == init) {
      process->Exited(killed);
    } else {
      process->DeleteWithContainer(killed);
    }
    CloseIo(process->io());
  }
  LogIfFailed(RemoveTiming(id_, container.id(), machine_.records()));
  LogIfFailed(RemoveRootReport(id_, container.id(), machine_.records()));
  machine_.record().RemoveContainer(container.id());
  init->Deleted([&, exit = init->exit()] { observer_.on_deleted(container.id(), "", exit); });
  Forget(container.id());
  return init->exit();
}

void Sandbox::CloseIo(ProcessIo& io) {
  const int logger = io.logger_pid();
  io.Close();
  if (logger > 0) machine_.record().RemoveEnded(logger);
}

Sandbox::Removal Sandbox::AskToRemove(const std::string& container_id,
                                      std::chrono::milliseconds timeout) {
  if (!machine_.alive()) return Removal::kNotThere;
  const auto removed = machine_.agent()->RemoveContainer(container_id, timeout);
  if (removed) return Removal::kDone;
  if (removed.error().code() == Code::kNotFound || !machine_.alive()) return Removal::kNotThere;
  log::Warn("the guest does not remove a container",
            {{"container", container_id}, {"error", machine_.Explain(removed.error()).message()}});
  return Removal::kFailed;
}

void Sandbox::RemoveFromGuest(Container& container, bool drained, bool last) {
  Removal removal = Removal::kNotThere;
  const auto guest = container.TakeGuest();
  const bool holds = machine_.HoldsWrites() || (guest && guest->holds_writes());
  // The last one ends with its machine, unless something has to come out of it first.
  if (machine_.alive() && (!drained || !last || holds)) {
    const std::chrono::milliseconds timeout = holds ? kFlushTimeout : kRemoveTimeout;
    removal = AskToRemove(container.id(),
                          container.on_files_back ? std::max(timeout, kBringBackTime) : timeout);
  }
  if (!guest) return;
  if (removal == Removal::kDone) guest->RemovedByGuest();
  guest->Remove(machine_, last || removal == Removal::kFailed);
}

}  // namespace kata::sandbox
