// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/waiting_calls.h - calls that wait for an event, such as output or a process's end.
//
// While the guest is saved nobody may wait in it: a copy of it has another client, and what would
// answer a call of the old one would be lost. The loop's thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/result.h"
#include "ttrpc/server.h"

namespace kata::guest {

class WaitingCalls {
 public:
  // Keeps an eye on a call that begins to wait. Null where nobody may wait now: it was answered
  // kAborted, which means that it is to be made again after Thaw.
  std::shared_ptr<ttrpc::Responder> Admit(ttrpc::Responder responder);
  // Calls that wait.
  size_t Count();
  // Answers all that wait kAborted, and those that come until Open().
  void Close();
  void Open() { closed_ = false; }

  // What a call is answered that nobody has done anything for.
  static Error Aborted();

 private:
  void Tidy();

  bool closed_ = false;
  std::vector<std::weak_ptr<ttrpc::Responder>> calls_;
  size_t tidy_at_ = 64;
};

}  // namespace kata::guest
