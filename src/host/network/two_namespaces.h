// SPDX-License-Identifier: Apache-2.0
//
// host/network/two_namespaces.h - the two network namespaces between which a translator stands.
//
// A machine's frames end in the inner one, which is ours. Of the outer one only ordinary sockets
// are used: nothing in it changes. All of it is for one thread, which rests in the outer one.
#pragma once

#include <sched.h>

#include <utility>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/loopback_stand_ins.h"
#include "sys/socket_address.h"

namespace kata::network {

class TwoNamespaces {
 public:
  TwoNamespaces(sys::UniqueFd inner, sys::UniqueFd outer)
      : inner_(std::move(inner)), outer_(std::move(outer)) {}

  // Takes the calling thread to where it rests. First of all.
  Result<void> Enter() const { return Go(outer_.get()); }
  // What `make` returns, done in the inner one.
  template <class Make>
  auto Inside(Make make) const -> decltype(make()) {
    KATA_TRY(Go(inner_.get()));
    auto made = make();
    KATA_TRY(Go(outer_.get()));
    return made;
  }
  int inner() const { return inner_.get(); }

 private:
  static Result<void> Go(int ns) {
    if (::setns(ns, CLONE_NEWNET) != 0) return FailErrno("enter the network namespace");
    return {};
  }

  sys::UniqueFd inner_;
  sys::UniqueFd outer_;
};

// Stand for the loopback of the outer namespace where packets go between the two: nobody has them
// (RFC 6666).
inline constexpr const char* kLoopback4 = sys::kHostLoopback;
inline constexpr const char* kLoopback6 = "100::7";

// Whether a guest may have a socket of the outer namespace speak to it: addresses of one host, but
// neither its loopback's nor those of one link.
bool IsReachable(const sys::IpAddress& address);
}  // namespace kata::network
