// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/iptables.h - the packet filter of the containers' namespace, in the words of
// iptables-save.
//
// The programs are not part of the guest's image: a host that needs them copies them into kDir (see
// guest-image/build-iptables). Both functions run programs and wait for them: for a process of
// their own. Rules that a container made with the legacy interface of the kernel are not seen.
// Basis: Kata Containers agent protocol; iptables-save(8), iptables-restore(8).
#pragma once

#include <string>

#include "base/result.h"

namespace kata::guest {

struct IpTables {
  static constexpr const char* kDir = "/run/kata-containers/iptables";

  int network_namespace = -1;
  bool ipv6 = false;
  std::string dir = kDir;

  // Errors  kFailedPrecondition  the programs are not there
  //         kInternal            they fail; the message has their words
  Result<std::string> Save() const;

  // All tables in `rules` become what it says; others stay. After an error everything is as before.
  // Errors  kFailedPrecondition  the programs are not there
  //         kInvalidArgument     not what iptables-save writes, or of a kind that this kernel does
  //         not
  //                              have; the message has the program's words
  Result<void> Restore(const std::string& rules) const;
};

}  // namespace kata::guest
