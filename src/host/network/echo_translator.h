// SPDX-License-Identifier: Apache-2.0
//
// host/network/echo_translator.h - a guest's echo requests (ping) as those of another namespace.
//
// Lives on the event loop's thread.
// Basis: RFC 792, RFC 4443; raw(7).
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>

#include "base/result.h"
#include "host/network/two_namespaces.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/ip_address.h"

namespace kata::network {

struct EchoSockets {
  sys::UniqueFd socket4;  // of the inner namespace: get every echo request
  sys::UniqueFd socket6;  // may be missing
};

class EchoTranslator {
 public:
  static constexpr size_t kMostAsked = 128;

  EchoTranslator(sys::EventLoop& loop, EchoSockets sockets);
  EchoTranslator(const EchoTranslator&) = delete;
  EchoTranslator& operator=(const EchoTranslator&) = delete;
  ~EchoTranslator();

  Result<void> Start();

  // In the calling thread's namespace: a socket that gets requests and answers for everybody.
  static Result<sys::UniqueFd> MakeInner(int family);

 private:
  // One program of the guest and whom it asks.
  struct Asked {
    sys::IpAddress guest;
    sys::IpAddress whom;
    uint16_t guest_id = 0;
    uint16_t id = 0;  // outside
    sys::UniqueFd outer;
    sys::EventLoop::Clock::time_point used;
  };
  using Place = std::list<Asked>::iterator;

  void OnRequests(int socket, int family);
  Result<Place> Find(const sys::IpAddress& guest, const sys::IpAddress& whom, uint16_t guest_id);
  void OnAnswers(Place asked);
  void Forget(Place asked);
  void ForgetSilent();

  sys::EventLoop& loop_;
  EchoSockets sockets_;
  std::list<Asked> asked_;
  uint16_t next_id_ = 0;
  sys::EventLoop::TimerId timer_{};
};

}  // namespace kata::network
