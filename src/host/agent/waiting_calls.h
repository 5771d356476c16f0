// SPDX-License-Identifier: Apache-2.0
//
// host/agent/waiting_calls.h - calls to the guest that wait there for an event, however long.
//
// While the guest is frozen to be saved, nobody waits in it: what it answers kAborted for that
// reason is kept, with what is called meanwhile, and called (again) at the end. Callers do not
// notice. Safe from every thread; callbacks come on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "sys/event_loop.h"
#include "ttrpc/client.h"

namespace kata::agent {

class WaitingCalls : public std::enable_shared_from_this<WaitingCalls> {
 public:
  using Done = ttrpc::Client::Done;

  explicit WaitingCalls(sys::EventLoop& loop) : loop_(loop) {}

  // Before the first call; until End().
  void Use(ttrpc::Client& client) KATA_EXCLUDES(mutex_);
  // The client is about to go: what is kept ends with kCancelled.
  void End() KATA_EXCLUDES(mutex_);

  void Call(std::string service, std::string method, std::string payload, Done done)
      KATA_EXCLUDES(mutex_);

  // From here on calls are kept. To be called before the guest is asked to freeze.
  void Hold() KATA_EXCLUDES(mutex_);
  // Makes the calls that were kept. Also when the connection has broken: they end with that.
  void Release() KATA_EXCLUDES(mutex_);

 private:
  struct One {
    std::string service;
    std::string method;
    std::string payload;
    Done done;
    uint64_t made_after = 0;  // so many freezes
  };

  void Make(std::shared_ptr<One> call) KATA_REQUIRES(mutex_);
  void OnAnswer(std::shared_ptr<One> call, Result<std::string> answer) KATA_EXCLUDES(mutex_);

  sys::EventLoop& loop_;
  Mutex mutex_;
  ttrpc::Client* client_ KATA_GUARDED_BY(mutex_) = nullptr;
  bool held_ KATA_GUARDED_BY(mutex_) = false;
  uint64_t freezes_ KATA_GUARDED_BY(mutex_) = 0;
  std::vector<std::shared_ptr<One>> kept_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::agent
