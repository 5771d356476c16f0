// SPDX-License-Identifier: Apache-2.0
//
// host/network/translator.h - lets a machine use a network namespace by sockets, not by frames.
//
// For a namespace whose interfaces are not ours to take: the host's own, or one that others live
// in. The machine's frames end in a namespace of ours, the inner one, whose kernel speaks TCP and
// UDP with the guest; for each connection there is an ordinary socket of the outer namespace, in
// which nothing else is made or changed. A thread of its own moves the bytes.
// Basis: kernel Documentation/networking/tproxy.rst, Documentation/bpf/prog_sk_lookup.rst.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "egress/policy.h"
#include "sys/fd.h"
#include "sys/ip_address.h"
#include "sys/loopback_stand_ins.h"
#include "sys/netlink_socket.h"

namespace kata::network {

struct TranslatorSetting {
  sys::UniqueFd inner;
  sys::UniqueFd outer;
  int tap = 0;            // the machine's, in the inner one, up; nothing else of it is in use
  sys::MacAddress mac{};  // of the machine's NIC, which must not ask for neighbours (IFF_NOARP)
  uint32_t mtu = 0;       // likewise
  egress::Policy egress = {};  // of the guest, about the outer one's services
};

class Translator {
 public:
  // `socket` is of the inner namespace.
  // Errors  kUnimplemented  the kernel has not what it takes; the message says what
  static Result<std::unique_ptr<Translator>> Start(TranslatorSetting setting,
                                                   sys::NetlinkSocket& socket);
  Translator(const Translator&) = delete;
  Translator& operator=(const Translator&) = delete;
  // Ends every connection.
  ~Translator();

  // Has the outer namespace listen at these of the guest, and at no others. What cannot be
  // listened at is logged, once, and tried again while it is wanted (FollowServices). From any
  // thread.
  void ShowListeners(std::vector<sys::ReachedListener> listeners);
  // Calls `changed` on a thread of its own with what waits in the outer namespace for others, but
  // for the above, now and whenever it has changed. The guest reaches these, its loopback's
  // included, and no others of that namespace's loopback. Once.
  void FollowServices(std::function<void(std::vector<sys::ReachedListener>)> changed);

 private:
  struct Parts;
  explicit Translator(std::unique_ptr<Parts> parts);
  Result<void> Begin();
  std::unique_ptr<Parts> parts_;
};

}  // namespace kata::network
