// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/members.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace kata::sandbox {
namespace {

std::unexpected<Error> Unwanted(const std::string& id) {
  return Fail(
      Code::kCancelled,
      fmt::format("container \"{}\" is no longer wanted: its caller has gone or deletes it", id));
}

std::unexpected<Error> IsOver() {
  return Fail(Code::kUnavailable, "the sandbox has been shut down; create another one");
}

}  // namespace

bool Members::AnyBut(const std::string& id) const {
  if (held_ != Held::kNot) return true;
  return std::ranges::any_of(members_, [&](const auto& entry) {
    return entry.first != id && entry.second.stage != Stage::kWaiting;
  });
}

Result<void> Members::BeginCreate(const std::shared_ptr<Container>& container, Wanted wanted) {
  const std::string& id = container->id();
  const MutexLock lock(mutex_);
  if (life_ == Life::kOver) return IsOver();
  KATA_TRY(CheckHold());
  const auto [entry, is_new] = members_.try_emplace(id);
  if (!is_new) {
    return Fail(Code::kAlreadyExists, fmt::format("container \"{}\" already exists", id));
  }
  Member& member = entry->second;
  member.container = container;
  member.wanted = std::move(wanted);
  changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return life_ != Life::kEnding; });
  if (life_ == Life::kServing && member.is_wanted()) {
    member.stage = Stage::kCreating;
    return {};
  }
  const bool over = life_ == Life::kOver;
  members_.erase(id);
  changed_.NotifyAll();
  if (over) return IsOver();
  return Unwanted(id);
}

Result<void> Members::CheckWanted(const std::string& id) const {
  const MutexLock lock(mutex_);
  const auto entry = members_.find(id);
  if (entry == members_.end() || !entry->second.is_wanted()) return Unwanted(id);
  if (life_ != Life::kEnding) return {};
  return Fail(Code::kUnavailable,
              "the machine did not start for another container of the sandbox; create this one "
              "again");
}

Result<void> Members::Keep(const std::string& id) {
  const MutexLock lock(mutex_);
  const auto entry = members_.find(id);
  if (entry == members_.end() || !entry->second.is_wanted()) return Unwanted(id);
  entry->second.stage = Stage::kCreated;
  entry->second.wanted = {};
  return {};
}

void Members::LoseMachine() {
  const MutexLock lock(mutex_);
  if (held_ != Held::kNot) return;
  if (life_ == Life::kServing) life_ = Life::kEnding;
}

Members::Abandoned Members::Abandon(const std::string& id) {
  const MutexLock lock(mutex_);
  const auto entry = members_.find(id);
  if (entry == members_.end() || !entry->second.being_made()) return Abandoned::kNothing;
  entry->second.abandoned = true;
  const bool others = held_ != Held::kNot || std::ranges::any_of(members_, [](const auto& other) {
                        return other.second.stage != Stage::kWaiting && other.second.is_wanted();
                      });
  if (entry->second.stage == Stage::kWaiting || others) return Abandoned::kWithoutMachine;
  if (life_ == Life::kServing) life_ = Life::kEnding;
  return Abandoned::kWithMachine;
}

void Members::AwaitUndone(const std::string& id) {
  const MutexLock lock(mutex_);
  changed_.Wait(mutex_, [&]() KATA_REQUIRES(mutex_) {
    const auto entry = members_.find(id);
    return entry == members_.end() || !entry->second.abandoned;
  });
}

Result<std::shared_ptr<Container>> Members::Find(const std::string& id) const {
  const MutexLock lock(mutex_);
  const auto entry = members_.find(id);
  if (entry == members_.end()) {
    return Fail(Code::kNotFound, fmt::format("no container \"{}\"", id));
  }
  if (entry->second.being_made()) {
    return Fail(Code::kFailedPrecondition, fmt::format("container \"{}\" is being created", id));
  }
  return entry->second.container;
}

std::vector<std::shared_ptr<Container>> Members::All() const {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Container>> all;
  for (const auto& [id, member] : members_) {
    if (!member.being_made()) all.push_back(member.container);
  }
  return all;
}

bool Members::empty() const {
  const MutexLock lock(mutex_);
  return members_.empty();
}

size_t Members::size() const {
  const MutexLock lock(mutex_);
  return members_.size();
}

bool Members::BeginDelete(const std::string& id) {
  const MutexLock lock(mutex_);
  const auto entry = members_.find(id);
  if (entry != members_.end()) entry->second.stage = Stage::kDeleting;
  if (AnyBut(id)) return false;
  if (life_ == Life::kServing) life_ = Life::kEnding;
  return true;
}

bool Members::Remove(const std::string& id) {
  const MutexLock lock(mutex_);
  const bool was_there = members_.erase(id) > 0;
  changed_.NotifyAll();
  if (!was_there || life_ == Life::kOver || AnyBut(id)) return false;
  life_ = Life::kEnding;
  return true;
}

void Members::MachineEnded() {
  const MutexLock lock(mutex_);
  if (life_ == Life::kEnding) life_ = Life::kServing;
  changed_.NotifyAll();
}

Result<void> Members::Hold() {
  const MutexLock lock(mutex_);
  changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return life_ != Life::kEnding; });
  if (life_ == Life::kOver) return IsOver();
  if (!members_.empty()) {
    return Fail(Code::kFailedPrecondition, "there are containers, and no sandbox was made first");
  }
  held_ = Held::kClosed;
  return {};
}

void Members::DropHold() {
  const MutexLock lock(mutex_);
  held_ = Held::kNot;
}

void Members::OpenHold() {
  const MutexLock lock(mutex_);
  if (held_ == Held::kClosed) held_ = Held::kOpen;
}

void Members::EndHold() {
  const MutexLock lock(mutex_);
  held_ = Held::kEnded;
  for (auto& [id, member] : members_) member.abandoned = member.abandoned || member.being_made();
  changed_.NotifyAll();
}

bool Members::held() const {
  const MutexLock lock(mutex_);
  return held_ != Held::kNot;
}

Result<void> Members::CheckHold() const {
  switch (held_) {
    case Held::kNot:
    case Held::kOpen:
      return {};
    case Held::kClosed:
      return Fail(Code::kFailedPrecondition, "the sandbox has not been started");
    case Held::kEnded:
      break;
  }
  return Fail(Code::kFailedPrecondition, "the sandbox has been stopped");
}

Members::Shutdown Members::BeginShutdown(bool now) {
  const MutexLock lock(mutex_);
  if (life_ == Life::kOver) {
    changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return shut_down_; });
    return Shutdown::kDone;
  }
  const bool wanted = held_ != Held::kNot || std::ranges::any_of(members_, [](const auto& entry) {
                        return entry.second.is_wanted();
                      });
  if (wanted && !now) return Shutdown::kRefused;
  life_ = Life::kOver;
  for (auto& [id, member] : members_) member.abandoned = member.abandoned || member.being_made();
  changed_.NotifyAll();
  return Shutdown::kBegun;
}

void Members::AwaitQuiet() {
  const MutexLock lock(mutex_);
  changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) {
    return std::ranges::all_of(
        members_, [](const auto& entry) { return entry.second.stage == Stage::kCreated; });
  });
}

std::vector<std::shared_ptr<Container>> Members::TakeAll() {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Container>> all;
  for (const auto& [id, member] : std::exchange(members_, {})) all.push_back(member.container);
  return all;
}

void Members::ShutdownDone() {
  const MutexLock lock(mutex_);
  shut_down_ = true;
  changed_.NotifyAll();
}

}  // namespace kata::sandbox
