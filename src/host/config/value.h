// SPDX-License-Identifier: Apache-2.0
//
// config/value.h - one value of a configuration file and where it came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace kata::config {

using StringList = std::vector<std::string>;
using Value = std::variant<bool, int64_t, double, std::string, StringList>;

// The value as TOML spells it; long strings and lists are cut after `limit` bytes.
std::string ToToml(const Value& value, size_t limit = SIZE_MAX);

// "a string", "a whole number", ...
std::string_view TypeName(const Value& value);

// The origin of a path that no one set and that was found on the host.
inline constexpr std::string_view kFound = "found on this host";

// Who set a value.
struct Source {
  std::string origin;  // a file's path, "annotation <key>" or kFound; empty: built in
  int line = 0;        // in a file, from 1

  bool built_in() const { return origin.empty(); }
  // "/etc/kata-containers/configuration.toml:12", "annotation io...", "built in".
  std::string ToString() const;
};

}  // namespace kata::config
