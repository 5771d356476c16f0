// SPDX-License-Identifier: Apache-2.0
//
// config/toml_file.h - a TOML file as a flat list of settings with line numbers.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/config/value.h"

namespace kata::config {

inline constexpr size_t kMaxFileBytes = 1 << 20;

struct Setting {
  std::string table;  // such as "agent.kata"; empty outside every table
  std::string key;
  std::optional<Value> value;  // absent for types that no key has, such as dates
  Source source;
};

// In the order of the lines.
//
// Errors  those of reading the file
//         kInvalidArgument  not TOML; the message is "<path>:<line>:<column>: <reason>"
Result<std::vector<Setting>> ReadTomlFile(const std::string& path);

// The same for text in memory; `origin` stands for the path.
Result<std::vector<Setting>> ReadToml(std::string_view text, const std::string& origin);

}  // namespace kata::config
