// SPDX-License-Identifier: Apache-2.0
#include "host/config/toml_file.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_UNDEF_MACROS 1
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "sys/files.h"

namespace kata::config {
namespace {

std::optional<Value> ToValue(const toml::node& node) {
  if (const auto* value = node.as_boolean()) return Value(value->get());
  if (const auto* value = node.as_integer()) return Value(int64_t{value->get()});
  if (const auto* value = node.as_floating_point()) return Value(double{value->get()});
  if (const auto* value = node.as_string()) return Value(value->get());
  const auto* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  StringList list;
  for (const toml::node& element : *array) {
    const auto* text = element.as_string();
    if (text == nullptr) return std::nullopt;
    list.push_back(text->get());
  }
  return Value(std::move(list));
}

// The parser bounds the nesting of tables, and with it this recursion.
void Flatten(const toml::table& table, const std::string& name, const std::string& origin,
             std::vector<Setting>* settings) {
  for (const auto& [key, node] : table) {
    const std::string word(key.str());
    if (const auto* inner = node.as_table()) {
      Flatten(*inner, name.empty() ? word : name + "." + word, origin, settings);
      continue;
    }
    const int line = static_cast<int>(key.source().begin.line);
    settings->push_back({name, word, ToValue(node), {origin, line}});
  }
}

}  // namespace

Result<std::vector<Setting>> ReadToml(std::string_view text, const std::string& origin) {
  const toml::parse_result parsed = toml::parse(text, origin);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return Fail(Code::kInvalidArgument,
                fmt::format("{}:{}:{}: not valid TOML: {}", origin, error.source().begin.line,
                            error.source().begin.column, error.description()));
  }
  std::vector<Setting> settings;
  Flatten(parsed.table(), "", origin, &settings);
  // The parser keeps tables sorted by name; people read files from top to bottom.
  std::sort(settings.begin(), settings.end(),
            [](const Setting& a, const Setting& b) { return a.source.line < b.source.line; });
  return settings;
}

Result<std::vector<Setting>> ReadTomlFile(const std::string& path) {
  const std::string text = KATA_TRY(sys::ReadFile(path, kMaxFileBytes));
  return ReadToml(text, path);
}

}  // namespace kata::config
