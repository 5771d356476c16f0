// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/freezer.h"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"

namespace kata::guest {
namespace {

// Every process that the host knows, with its streams.
void ForEachProcess(const ContainerTable& containers,
                    const std::function<void(Process& process)>& visit) {
  for (const auto& [id, entry] : containers.entries()) {
    if (entry->init) visit(*entry->init);
    for (const auto& [exec_id, exec] : entry->execs) visit(*exec);
  }
}

}  // namespace

// One Freeze under way.
struct Freezer::Attempt {
  OpenCalls open_calls;
  Deadline deadline;
  Done done;
  bool asked = false;  // the cgroups
  std::string restless = {};
};

void Freezer::Freeze(OpenCalls open_calls, Deadline deadline, Done done) {
  if (state_ != State::kThawed) {
    return done(Fail(Code::kFailedPrecondition, "the containers are frozen already"));
  }
  state_ = State::kFreezing;
  renewed_ = false;
  attempt_ = std::make_shared<Attempt>(
      Attempt{.open_calls = std::move(open_calls), .deadline = deadline, .done = std::move(done)});
  Continue(attempt_);
}

void Freezer::Continue(std::shared_ptr<Attempt> attempt) {
  if (attempt != attempt_) return;
  const Result<bool> settled = Settle(*attempt);
  if (!settled) return End(attempt, std::unexpected(settled.error()));
  if (*settled) {
    state_ = State::kFrozen;
    waiting_.Close();
    AnswerInputs();
    attempt_.reset();
    return attempt->done({});
  }
  if (attempt->deadline.Passed()) {
    return End(attempt, Fail(Code::kDeadlineExceeded, attempt->restless));
  }
  constexpr std::chrono::milliseconds kPause{2};
  loop_.RunAfter(kPause, [this, attempt] { Continue(attempt); });
}

Result<bool> Freezer::Settle(Attempt& attempt) {
  const size_t idle = waiting_.Count() + WaitingInputs() + 1;  // and the call that asks
  if (const size_t open = attempt.open_calls(); open > idle) {
    attempt.restless = fmt::format("{} other calls have not come to their end", open - idle);
    return false;
  }
  for (const auto& [id, entry] : containers_.entries()) {
    if (!entry->container || entry->paused) continue;
    if (!attempt.asked) KATA_TRY(entry->container->Freeze(true));
  }
  attempt.asked = true;
  for (const auto& [id, entry] : containers_.entries()) {
    if (!entry->container || KATA_TRY(entry->container->Frozen())) continue;
    attempt.restless = fmt::format("the processes of container \"{}\" did not freeze in time", id);
    return false;
  }
  return true;
}

size_t Freezer::WaitingInputs() const {
  size_t count = 0;
  ForEachProcess(containers_, [&count](Process& process) { count += process.in().waiting(); });
  return count;
}

void Freezer::AnswerInputs() {
  ForEachProcess(containers_,
                 [](Process& process) { process.in().AnswerWaiting(WaitingCalls::Aborted()); });
}

void Freezer::End(std::shared_ptr<Attempt> attempt, Result<void> result) {
  attempt_.reset();
  LogIfFailed(ThawAll());
  attempt->done(std::move(result));
}

Result<void> Freezer::ThawAll() {
  Result<void> outcome;
  for (const auto& [id, entry] : containers_.entries()) {
    if (!entry->container || entry->paused) continue;
    if (auto thawed = entry->container->Freeze(false); !thawed && outcome) {
      outcome = std::move(thawed);
    }
  }
  waiting_.Open();
  state_ = State::kThawed;
  return outcome;
}

Result<void> Freezer::Thaw() {
  switch (state_) {
    case State::kThawed:
      return {};
    case State::kFreezing:
      End(attempt_, Fail(Code::kAborted, "thawed before all had come to rest"));
      return {};
    case State::kFrozen:
      break;
  }
  if (!renewed_) {
    return Fail(Code::kFailedPrecondition, "the guest has not been renewed since it was frozen");
  }
  return ThawAll();
}

Result<void> Freezer::CheckThawed() const {
  if (state_ == State::kThawed) return {};
  return Fail(Code::kFailedPrecondition, "the containers are frozen while the machine is saved");
}

}  // namespace kata::guest
