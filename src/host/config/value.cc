// SPDX-License-Identifier: Apache-2.0
#include "host/config/value.h"

#include <fmt/format.h>

namespace kata::config {
namespace {

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

struct Writer {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return fmt::format("{}", value); }
  std::string operator()(const std::string& value) const { return Quote(value); }
  std::string operator()(const StringList& values) const {
    std::string text = "[";
    for (const std::string& value : values) {
      if (text.size() > 1) text += ", ";
      text += Quote(value);
    }
    return text + "]";
  }
};

}  // namespace

std::string ToToml(const Value& value, size_t limit) {
  std::string text = std::visit(Writer{}, value);
  if (text.size() > limit) text = text.substr(0, limit) + "...";
  return text;
}

std::string_view TypeName(const Value& value) {
  static constexpr std::string_view kNames[] = {"true or false", "a whole number", "a fraction",
                                                "a string", "a list of strings"};
  return kNames[value.index()];
}

std::string Source::ToString() const {
  if (built_in()) return "built in";
  return line > 0 ? fmt::format("{}:{}", origin, line) : origin;
}

}  // namespace kata::config
