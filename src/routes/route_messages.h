// SPDX-License-Identifier: Apache-2.0
//
// routes/route_messages.h - routes in the kernel's words and in those of the agent protocol.
//
// Links are indices for the kernel and names in the protocol. Both sides of the protocol use this.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "proto/types.pb.h"
#include "sys/ip_address.h"
#include "sys/rtnetlink.h"

namespace kata::routes {

using LinksByName = std::map<std::string, int>;
using NamesByLink = std::map<int, std::string>;

// What a message that does not say so is: unicast, of the main table, made by an administrator.
//
// Errors  kInvalidArgument  the message quotes what is no address or out of range
//         kNotFound         it names an interface that is not in `links`
Result<sys::Route> ReadRoute(const types::Route& route, const LinksByName& links);

// Whether every link of the route is in `names`.
bool HasNames(const sys::Route& route, const NamesByLink& names);
// Links that are not in `names` stay empty.
void FillRoute(const sys::Route& route, const NamesByLink& names, types::Route* message);

// Absent where `text` is empty; `what` is for the error's words.
// Errors  kInvalidArgument
Result<std::optional<sys::IpAddress>> ReadAddress(std::string_view what, const std::string& text);
types::IPFamily FamilyOf(const sys::IpAddress& address);

}  // namespace kata::routes
