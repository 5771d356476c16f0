// SPDX-License-Identifier: Apache-2.0
//
// routes/rule_messages.h - policy rules in the kernel's words and in those of the agent protocol.
#pragma once

#include "base/result.h"
#include "proto/types.pb.h"
#include "sys/routing_rule.h"

namespace kata::routes {

// Errors  kInvalidArgument  the message quotes what is no prefix, name or number of its range
Result<sys::RoutingRule> ReadRule(const types::Rule& rule);
void FillRule(const sys::RoutingRule& rule, types::Rule* message);

}  // namespace kata::routes
