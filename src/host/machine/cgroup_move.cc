// SPDX-License-Identifier: Apache-2.0
#include "host/machine/cgroup_move.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "base/log.h"
#include "sys/cgroups.h"

namespace kata::sandbox {
namespace {

void LogUnused(const Error& error) {
  log::Warn("the host's cgroup is not used", {{"error", error.message()}});
}

}  // namespace

Result<std::shared_ptr<CgroupMove>> CgroupMove::Begin(const Goal& goal, std::vector<pid_t> others,
                                                      RecordKeeper& record) {
  std::shared_ptr<CgroupMove> move(new CgroupMove());
  move->home_ = goal.home;
  const auto planned = [&]() -> Result<void> {
    if (goal.path.empty()) return {};
    move->cgroup_ = KATA_TRY(HostCgroup::Plan(goal.path));
    return record.SetCgroups(move->cgroup_->ours());
  }();
  if (!planned) {
    if (planned.error().code() == Code::kFailedPrecondition) {
      return std::unexpected(planned.error());
    }
    LogUnused(planned.error());
    return move;
  }
  if (others.empty()) {
    if (const auto entered = move->Enter(others); !entered) LogUnused(entered.error());
    return move;
  }
  move->moving_ = std::async(std::launch::async, [self = move.get(), others = std::move(others)] {
                    if (const auto entered = self->Enter(others); !entered) {
                      LogUnused(entered.error());
                    }
                  }).share();
  return move;
}

Result<void> CgroupMove::Enter(const std::vector<pid_t>& others) {
  if (cgroup_) return cgroup_->Enter(others);
  // Out of the service's, which ends what is there.
  for (const std::string& directory : home_) {
    KATA_TRY(sys::JoinCgroup(directory, ::getpid()));
    for (const pid_t pid : others) (void)sys::JoinCgroup(directory, pid);
  }
  return {};
}

void CgroupMove::Finish() const {
  if (moving_.valid()) moving_.wait();
}

void CgroupMove::Leave() {
  if (cgroup_) cgroup_->Leave();
}

std::vector<std::string> CgroupMove::before() const {
  return cgroup_ ? cgroup_->before() : std::vector<std::string>();
}

}  // namespace kata::sandbox
