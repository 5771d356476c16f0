// SPDX-License-Identifier: Apache-2.0
#include "host/config/render.h"

#include <string_view>
#include <variant>

#include <fmt/format.h>

namespace kata::config {
namespace {

constexpr size_t kWidth = 98;

// `text` as comment lines no wider than kWidth. Backticks are Markdown's and left out.
std::string Comment(std::string_view text) {
  std::string out;
  std::string line;
  const auto flush = [&] {
    if (!line.empty()) out += "#" + line + "\n";
    line.clear();
  };
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    std::string word;
    for (const char c : text.substr(0, space)) {
      if (c != '`') word += c;
    }
    if (line.size() + word.size() + 2 > kWidth) flush();
    line += " " + word;
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  flush();
  return out;
}

// What the key may be, for people.
std::string Bounds(const Key& key) {
  std::string text;
  if (!key.words.empty()) {
    for (const char c : key.words) {
      if (c == '|') {
        text += "`, `";
      } else {
        text += c;
      }
    }
    return "`" + text + "`";
  }
  if (std::holds_alternative<int64_t* (*)(Config&)>(key.field)) {
    text = key.high == INT64_MAX ? fmt::format("from {}", key.low)
                                 : fmt::format("{} to {}", key.low, key.high);
    return key.unit.empty() ? text : fmt::format("{} {}", text, key.unit);
  }
  if (std::holds_alternative<bool* (*)(Config&)>(key.field)) return "true, false";
  if (std::holds_alternative<StringList* (*)(Config&)>(key.field)) {
    return key.is_path ? "list of absolute paths" : "list of strings";
  }
  return key.is_path ? "absolute path" : "string";
}

}  // namespace

std::string RenderEffective(const Loaded& loaded) {
  std::string text;
  for (const Table table : kTables) {
    text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", loaded.TableOf(table));
    for (const Key& key : Keys(table)) {
      if (!key.alias_of.empty()) continue;
      const std::string setting = fmt::format("{} = {}", key.name, ToToml(Get(key, loaded.config)));
      text += fmt::format("{:<48}  # {}\n", setting, loaded.SourceOf(key).ToString());
    }
  }
  return text;
}

std::string RenderReference() {
  const Config defaults;
  std::string text;
  for (const Table table : kTables) {
    text += fmt::format("### `[{}]`\n\n", TableName(table, hypervisor::kDefaultVmm));
    text += "| Key | Default | Values | Pod | Meaning |\n|---|---|---|---|---|\n";
    for (const Key& key : Keys(table)) {
      std::string pod = "no";
      if (!key.annotation.empty()) {
        pod = key.annotation == key.name ? "yes" : fmt::format("as `{}`", key.annotation);
        if (key.grants_rights) pod += "; on: as `hypervisor`";
      }
      text += fmt::format("| `{}` | `{}` | {} | {} | {} |\n", key.name, ToToml(Get(key, defaults)),
                          Bounds(key), pod, key.help);
    }
    text += fmt::format("\nAnnotations of this table begin with `io.katacontainers.config.{}.`.\n",
                        AnnotationTable(table));
    text += "Known keys without effect:\n";
    std::string line;
    for (const std::string_view name : KeysWithoutEffect(table)) {
      if (line.size() + name.size() + 4 > kWidth) {
        text += line + "\n";
        line.clear();
      }
      line += fmt::format("{}`{}`,", line.empty() ? "" : " ", name);
    }
    if (!line.empty()) line.back() = '.';
    text += line + "\n\n";
  }
  return text;
}

std::string RenderDefaultFile() {
  const Config defaults;
  std::string text =
      "# SPDX-License-Identifier: Apache-2.0\n#\n" +
      Comment(
          "Configuration of kata-cpp. Every key stands here at its built-in default, commented "
          "out. Own values belong into /etc/kata-containers/configuration.toml, which is read "
          "instead of this file, or into config.d/*.toml beside the file that is read. "
          "kata-runtime env shows what is in effect.");
  for (const Table table : kTables) {
    text += fmt::format("\n[{}]\n", TableName(table, hypervisor::kDefaultVmm));
    for (const Key& key : Keys(table)) {
      if (!key.alias_of.empty()) continue;
      text += fmt::format("\n{}# Values: ", Comment(key.help));
      for (const char c : Bounds(key)) {
        if (c != '`') text += c;
      }
      text += fmt::format("\n#{} = {}\n", key.name, ToToml(Get(key, defaults)));
    }
  }
  return text;
}

}  // namespace kata::config
