// SPDX-License-Identifier: Apache-2.0
//
// sys/netlink_socket.h - talking to the kernel's routing tables.
//
// A socket belongs to the network namespace in which it was made, whoever uses it later: one made
// by RunInNetns (sys/netns.h) serves every thread. Calls block for as long as the kernel needs,
// ten seconds at most; one at a time.
// Basis: netlink(7), rtnetlink(7).
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/netlink_message.h"

namespace kata::sys {

class NetlinkSocket {
 public:
  // In the calling thread's network namespace.
  static Result<NetlinkSocket> Open();

  // Sends `request`, which asks the kernel to change something; returns when it has done so.
  // Errors  the kernel's, with its explanation where it gives one
  Result<void> Change(NetlinkRequest request);

  // Sends `request`, which asks for one message or (NLM_F_DUMP) a table. `each` sees every message
  // of the answer. A table that changed while it was read is read once more.
  using Each = std::function<void(const NetlinkMessage&)>;
  Result<void> Query(NetlinkRequest request, const Each& each);

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<void> Transact(NetlinkRequest& request, const Each& each, bool* interrupted);

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

// Hears of changes: `groups` are RTMGRP_LINK, RTMGRP_IPV4_IFADDR and the like. In the calling
// thread's namespace; non-blocking.
Result<UniqueFd> OpenNetlinkEvents(uint32_t groups);
// Reads and forgets what has come. False when nothing had; lost events count as one that came.
bool DrainNetlinkEvents(int fd);

}  // namespace kata::sys
