// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/dns_relay.h - a name server on the containers' loopback whose answers come
// from the host.
//
// Docker's name server for networks of one's own lives on the loopback of the namespace on the
// host. Questions that containers ask at the same address wait here until the host fetches them.
// UDP only. Basis: RFC 1035; Docker's embedded DNS server.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include <netinet/in.h>

#include "base/result.h"
#include "proto/guest.pb.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::guest {

class DnsRelay {
 public:
  using Wanted = std::function<bool()>;
  using Listener = std::move_only_function<void(const DnsMessage&)>;

  explicit DnsRelay(sys::EventLoop& loop) : loop_(loop) {}
  DnsRelay(const DnsRelay&) = delete;
  DnsRelay& operator=(const DnsRelay&) = delete;
  ~DnsRelay() { Stop(); }

  bool listening() const { return socket_.valid(); }
  // Takes over a bound, non-blocking UDP socket.
  Result<void> Serve(sys::UniqueFd socket);
  void Stop();

  // Calls `listener` with the next question, unless by then it is no longer wanted. One waits at a
  // time: a later one takes the place.
  void Next(Wanted wanted, Listener listener);
  // A question that was given up, or answered, is nobody's.
  void Answer(const DnsMessage& answer);

 private:
  void OnQuestions();
  void Deliver();

  sys::EventLoop& loop_;
  sys::UniqueFd socket_;
  std::deque<DnsMessage> questions_;
  std::map<uint64_t, sockaddr_in> askers_;  // the oldest go when there are too many
  uint64_t next_id_ = 1;
  Wanted wanted_;
  Listener listener_;
};

}  // namespace kata::guest
