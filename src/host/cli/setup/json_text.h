// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/json_text.h - changing one member of a JSON text, and no other byte of it.
//
// A file that people write keeps their spaces, their order and their line ends. Each result is
// parsed again and compared with what the change should give before it is returned.
// Basis: RFC 8259.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::cli::setup {

// The names of nested objects' members, outermost first, such as {"runtimes", "kata"}.
using JsonPath = std::span<const std::string_view>;

// Errors  kInvalidArgument  not one JSON object; the message is "<origin>:<line>:<column>:
// <reason>"
Result<void> CheckJsonObject(std::string_view text, std::string_view origin);

// The value of a member, as JSON without spaces; nullopt where there is none. `text` must be an
// object by CheckJsonObject.
//
// Errors  kInvalidArgument  a name on the path stands twice, or what should hold it is no object
Result<std::optional<std::string>> GetMember(std::string_view text, JsonPath path);

// `text` with the member set to `value`, which is JSON. A new member comes last, in the form of its
// neighbours; objects on the way are made.
// Errors  those of GetMember
Result<std::string> SetMember(std::string_view text, JsonPath path, std::string_view value);

// `text` without the member; the same text where there is none.
// Errors  those of GetMember
Result<std::string> RemoveMember(std::string_view text, JsonPath path);

}  // namespace kata::cli::setup
