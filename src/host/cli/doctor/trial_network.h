// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/trial_network.h - a network for the doctor's container, and somebody to talk to.
//
// Two network namespaces with a veth pair between them. Nothing names them, so both are gone with
// this object, or this process; the host's own namespace is not touched.
// Addresses are those that RFC 5737 keeps for examples.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace kata::cli::doctor {

class TrialNetwork {
 public:
  static constexpr char kPeerAddress[] = "192.0.2.1";

  // Errors  kPermissionDenied  CAP_SYS_ADMIN or CAP_NET_ADMIN is missing
  static Result<std::unique_ptr<TrialNetwork>> Make();
  virtual ~TrialNetwork() = default;

  // The container's namespace, for config.json.
  virtual std::string path() const = 0;
  // Where kPeerAddress answers each datagram with itself.
  virtual uint16_t port() const = 0;
};

}  // namespace kata::cli::doctor
