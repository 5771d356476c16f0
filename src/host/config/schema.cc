// SPDX-License-Identifier: Apache-2.0
#include "host/config/schema.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace kata::config {
namespace {

bool IsOneOf(std::string_view word, std::string_view words) {
  while (!words.empty()) {
    const size_t bar = std::min(words.find('|'), words.size());
    if (words.substr(0, bar) == word) return true;
    words.remove_prefix(std::min(bar + 1, words.size()));
  }
  return false;
}

std::string Spaced(std::string_view words) {
  std::string text;
  for (const char c : words) text += c == '|' ? std::string(", ") : std::string(1, c);
  return text;
}

bool Fits(const Key& key, int64_t value) { return value >= key.low && value <= key.high; }

bool Fits(const Key& key, const std::string& value) {
  if (value.find('\0') != value.npos) return false;
  if (key.is_path) return value.empty() || value.starts_with('/');
  return key.words.empty() || IsOneOf(value, key.words);
}

std::unexpected<Error> Unexpected(const Key& key) {
  return Fail(Code::kInvalidArgument, "expected " + Expectation(key));
}

}  // namespace

std::string_view TableName(Table table, const hypervisor::VmmTraits& vmm) {
  switch (table) {
    case Table::kHypervisor:
      return vmm.table;
    case Table::kAgent:
      return "agent.kata";
    case Table::kFactory:
      return "factory";
    case Table::kSnapshot:
      return "snapshot";
    case Table::kRuntime:
      break;
  }
  return "runtime";
}

std::string_view AnnotationTable(Table table) {
  switch (table) {
    case Table::kHypervisor:
      return "hypervisor";
    case Table::kAgent:
      return "agent";
    case Table::kFactory:
      return "factory";
    case Table::kSnapshot:
      return "snapshot";
    case Table::kRuntime:
      break;
  }
  return "runtime";
}

std::span<const Key> Keys(Table table) {
  switch (table) {
    case Table::kHypervisor:
      return HypervisorKeys();
    case Table::kAgent:
      return AgentKeys();
    case Table::kFactory:
      return FactoryKeys();
    case Table::kSnapshot:
      return SnapshotKeys();
    case Table::kRuntime:
      break;
  }
  return RuntimeKeys();
}

const Key* FindKey(Table table, std::string_view name) {
  for (const Key& key : Keys(table)) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

const Key* FindAnnotation(Table table, std::string_view name) {
  for (const Key& key : Keys(table)) {
    if (!key.annotation.empty() && key.annotation == name) return &key;
  }
  return nullptr;
}

const Key& Canonical(const Key& key) {
  return key.alias_of.empty() ? key : *FindKey(key.alias_table, key.alias_of);
}

std::string Expectation(const Key& key) {
  switch (key.field.index()) {
    case 0:
      return "true or false";
    case 1: {
      const std::string unit = key.unit.empty() ? "" : fmt::format(" ({})", key.unit);
      if (key.high == INT64_MAX) return fmt::format("a whole number from {}{}", key.low, unit);
      return fmt::format("a whole number from {} to {}{}", key.low, key.high, unit);
    }
    case 2:
      if (key.is_path) return "an absolute path";
      return key.words.empty() ? "a string" : "one of " + Spaced(key.words);
    default:
      return key.is_path ? "a list of absolute paths" : "a list of strings";
  }
}

Value Get(const Key& key, const Config& config) {
  // Fields give access for writing; nothing is written here.
  auto& readable = const_cast<Config&>(config);
  return std::visit([&](const auto& field) { return Value(*field(readable)); }, key.field);
}

Result<void> Set(const Key& key, const Value& value, Config* config) {
  if (const auto* field = std::get_if<0>(&key.field)) {
    const auto* flag = std::get_if<bool>(&value);
    if (flag == nullptr) return Unexpected(key);
    *(*field)(*config) = *flag;
  } else if (const auto* number_field = std::get_if<1>(&key.field)) {
    int64_t number = 0;
    const auto* fraction = std::get_if<double>(&value);
    if (const auto* whole = std::get_if<int64_t>(&value)) {
      number = *whole;
    } else if (fraction != nullptr && std::abs(*fraction) < 1e15 &&
               std::trunc(*fraction) == *fraction) {
      number = static_cast<int64_t>(*fraction);
    } else {
      return Unexpected(key);
    }
    if (!Fits(key, number)) return Unexpected(key);
    *(*number_field)(*config) = number;
  } else if (const auto* text_field = std::get_if<2>(&key.field)) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr || !Fits(key, *text)) return Unexpected(key);
    *(*text_field)(*config) = *text;
  } else {
    const auto* list = std::get_if<StringList>(&value);
    if (list == nullptr) return Unexpected(key);
    for (const std::string& element : *list) {
      if (!Fits(key, element)) return Unexpected(key);
    }
    *std::get<3>(key.field)(*config) = *list;
  }
  return {};
}

Result<void> SetFromText(const Key& key, std::string_view text, Config* config) {
  switch (key.field.index()) {
    case 0:
      if (text != "true" && text != "false") return Unexpected(key);
      return Set(key, Value(text == "true"), config);
    case 1: {
      int64_t number = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc() || end != text.data() + text.size()) return Unexpected(key);
      return Set(key, Value(number), config);
    }
    case 2:
      return Set(key, Value(std::string(text)), config);
    default: {
      StringList list;
      while (!text.empty()) {
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        const size_t end = std::min(text.find(key.separator), text.size());
        if (end > 0) list.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
      }
      return Set(key, Value(std::move(list)), config);
    }
  }
}

}  // namespace kata::config
