// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/waiting_calls.h"

#include <algorithm>
#include <utility>

namespace kata::guest {

Error WaitingCalls::Aborted() {
  return Error(Code::kAborted, "the guest is being saved; ask again after Thaw");
}

std::shared_ptr<ttrpc::Responder> WaitingCalls::Admit(ttrpc::Responder responder) {
  if (closed_) {
    responder.Fail(Aborted());
    return nullptr;
  }
  if (calls_.size() >= tidy_at_) Tidy();
  auto call = std::make_shared<ttrpc::Responder>(std::move(responder));
  calls_.push_back(call);
  return call;
}

void WaitingCalls::Tidy() {
  constexpr size_t kLeast = 64;
  std::erase_if(calls_, [](const auto& weak) {
    const auto call = weak.lock();
    return !call || !call->wanted();
  });
  // Each call is looked at a few times only, however many there are.
  tidy_at_ = std::max(kLeast, 2 * calls_.size());
}

size_t WaitingCalls::Count() {
  Tidy();
  return calls_.size();
}

void WaitingCalls::Close() {
  closed_ = true;
  for (const auto& weak : std::exchange(calls_, {})) {
    if (const auto call = weak.lock()) call->Fail(Aborted());
  }
}

}  // namespace kata::guest
