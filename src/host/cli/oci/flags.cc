// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/flags.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "base/parse_bool.h"

namespace kata::cli::oci {
namespace {

const Flag* Find(std::span<const Flag> flags, std::string_view name) {
  const auto it = std::find_if(flags.begin(), flags.end(), [&](const Flag& flag) {
    return flag.name == name || (name.size() == 1 && flag.letter == name.front());
  });
  return it == flags.end() ? nullptr : &*it;
}

}  // namespace

Result<Arguments> Arguments::Parse(std::span<const Flag> flags, std::span<const char* const> input,
                                   bool only_leading) {
  Arguments result;
  for (size_t i = 0; i < input.size(); ++i) {
    std::string_view word = input[i];
    if (word == "--") {
      result.words_.insert(result.words_.end(), input.begin() + static_cast<ptrdiff_t>(i) + 1,
                           input.end());
      break;
    }
    if (word.size() < 2 || word.front() != '-') {
      if (only_leading) {
        result.words_.insert(result.words_.end(), input.begin() + static_cast<ptrdiff_t>(i),
                             input.end());
        break;
      }
      result.words_.emplace_back(word);
      continue;
    }
    std::string_view name = word.substr(word.starts_with("--") ? 2 : 1);
    std::optional<std::string_view> value;
    if (const size_t equals = name.find('='); equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    const Flag* flag = Find(flags, name);
    if (flag == nullptr) {
      return Fail(Code::kInvalidArgument, fmt::format("flag provided but not defined: -{}", name));
    }
    std::string text;
    if (!flag->takes_value) {
      const auto parsed = ParseBool(value.value_or("true"));
      if (!parsed) {
        return Fail(Code::kInvalidArgument,
                    fmt::format("invalid boolean value \"{}\" for -{}", *value, name));
      }
      text = *parsed ? "true" : "false";
    } else if (value) {
      text = *value;
    } else {
      if (++i == input.size()) {
        return Fail(Code::kInvalidArgument, fmt::format("flag needs an argument: -{}", name));
      }
      text = input[i];
    }
    result.values_[std::string(flag->name)].push_back(std::move(text));
  }
  return result;
}

std::string Arguments::Get(std::string_view name, std::string_view otherwise) const {
  const auto it = values_.find(name);
  return it == values_.end() ? std::string(otherwise) : it->second.back();
}

std::vector<std::string> Arguments::All(std::string_view name) const {
  const auto it = values_.find(name);
  return it == values_.end() ? std::vector<std::string>() : it->second;
}

}  // namespace kata::cli::oci
