// SPDX-License-Identifier: Apache-2.0
#include "host/agent/waiting_calls.h"

#include <utility>

namespace kata::agent {

void WaitingCalls::Use(ttrpc::Client& client) {
  const MutexLock lock(mutex_);
  client_ = &client;
}

void WaitingCalls::End() {
  std::vector<std::shared_ptr<One>> kept;
  {
    const MutexLock lock(mutex_);
    client_ = nullptr;
    kept = std::exchange(kept_, {});
  }
  for (auto& call : kept) {
    loop_.Post([call = std::move(call)] {
      call->done(Fail(Code::kCancelled, "the client of the guest's agent has gone"));
    });
  }
}

void WaitingCalls::Call(std::string service, std::string method, std::string payload, Done done) {
  auto call = std::make_shared<One>(One{.service = std::move(service),
                                        .method = std::move(method),
                                        .payload = std::move(payload),
                                        .done = std::move(done)});
  const MutexLock lock(mutex_);
  Make(std::move(call));
}

void WaitingCalls::Make(std::shared_ptr<One> call) {
  if (held_) return kept_.push_back(std::move(call));
  call->made_after = freezes_;
  const std::string service = call->service;
  const std::string method = call->method;
  std::string payload = call->payload;
  // Calls back later, never from here.
  client_->CallAsync(service, method, std::move(payload), Deadline::Never(),
                     [self = shared_from_this(), call](Result<std::string> answer) {
                       self->OnAnswer(call, std::move(answer));
                     });
}

void WaitingCalls::OnAnswer(std::shared_ptr<One> call, Result<std::string> answer) {
  if (!answer && answer.error().code() == Code::kAborted) {
    const MutexLock lock(mutex_);
    // A guest that says so without a freeze would be asked for ever.
    if (client_ != nullptr && call->made_after != freezes_) return Make(std::move(call));
  }
  call->done(std::move(answer));
}

void WaitingCalls::Hold() {
  const MutexLock lock(mutex_);
  held_ = true;
  ++freezes_;
}

void WaitingCalls::Release() {
  const MutexLock lock(mutex_);
  held_ = false;
  if (client_ == nullptr) return;
  for (auto& call : std::exchange(kept_, {})) Make(std::move(call));
}

}  // namespace kata::agent
