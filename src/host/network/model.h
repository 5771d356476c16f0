// SPDX-License-Identifier: Apache-2.0
//
// host/network/model.h - the ways to connect an interface of a namespace with a machine.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::network {

enum class Model {
  kTcFilter,  // what comes in on the interface leaves by a tap, and the other way round
  kMacvtap,   // a macvtap on the interface takes all its frames
  kSockets,   // its frames end here, and sockets of the namespace stand for it (translator.h)
  kNone,      // not at all
};

// "tcfilter", "macvtap", "socket", "none".
std::string_view ModelName(Model model);
// Errors  kInvalidArgument
Result<Model> ModelByName(std::string_view name);

// Whether frames pass both ways between a machine's descriptor and an interface, tried out in a
// namespace that is made for that and gone afterwards.
Result<void> TestModel(Model model);

// `wanted`, or where it fails the test the next one that passes. What failed is logged.
// Errors  kUnavailable  none does; the message has the reasons
Result<Model> FirstWorkingModel(Model wanted);

}  // namespace kata::network
