// SPDX-License-Identifier: Apache-2.0
//
// host/plan/egress_policy.h - where a sandbox may send to, of the host's configuration and of its
// own.
#pragma once

#include "base/result.h"
#include "egress/policy.h"
#include "host/config/config.h"
#include "sys/ip_address.h"

namespace kata::sandbox {

// Of rules that deny nothing nothing is left. Errors  kInvalidArgument
Result<egress::Policy> EgressPolicyOf(const config::RuntimeConfig& config);

// Whether the guest may ask Docker's name server, which is the host's business to carry out.
bool AllowsDockersNames(const egress::Policy& policy);

}  // namespace kata::sandbox
