// SPDX-License-Identifier: Apache-2.0
//
// config/schema.h - the one table of keys: what each is called, where its value goes, what it may
// be, whether a pod may set it, and what it means. Loading, annotations, `kata-runtime env`,
// docs/configuration.md and the shipped configuration.toml all follow it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "host/config/config.h"
#include "host/config/value.h"
#include "host/hypervisor/vmm_traits.h"

namespace kata::config {

enum class Table { kHypervisor, kAgent, kRuntime, kFactory, kSnapshot };
inline constexpr Table kTables[] = {Table::kHypervisor, Table::kAgent, Table::kRuntime,
                                    Table::kFactory, Table::kSnapshot};

// As the file spells it: "agent.kata", "runtime"; kHypervisor is that of `vmm`.
std::string_view TableName(Table table, const hypervisor::VmmTraits& vmm);
// What annotations call it: "hypervisor", "agent".
std::string_view AnnotationTable(Table table);

// How to reach the value of a key inside a Config. The second form of the types serves reading.
using Field = std::variant<bool* (*)(Config&), int64_t* (*)(Config&), std::string* (*)(Config&),
                           StringList* (*)(Config&)>;

struct Key {
  Table table;
  std::string_view name;
  Field field;
  std::string_view help;
  // For numbers: bounds, both included.
  int64_t low = 0;
  int64_t high = INT64_MAX;
  std::string_view unit = {};
  // For strings: the words that are allowed, separated by '|'. Empty: any text.
  std::string_view words = {};
  // The annotation's name after "io.katacontainers.config.<table>."; empty: pods cannot set it.
  std::string_view annotation = {};
  // Of true and false: it gives the sandbox rights on the host, so that pods may turn it off, and
  // on only where enable_annotations has the annotation's name.
  bool grants_rights = false;
  // An absolute path, or empty.
  bool is_path = false;
  // An annotation's path must match one of these patterns; null: any path.
  StringList* (*valid_paths)(Config&) = nullptr;
  // An annotation is added to the file's value, after a space, instead of replacing it.
  bool append = false;
  // Where an annotation's value goes instead, so that both hold; null: it replaces the file's.
  StringList* (*beside)(Config&) = nullptr;
  // Between the elements of a list in an annotation.
  char separator = ' ';
  // Another spelling of the key `alias_of` in `alias_table`.
  std::string_view alias_of = {};
  Table alias_table = Table::kHypervisor;
};

std::span<const Key> HypervisorKeys();
std::span<const Key> AgentKeys();
std::span<const Key> RuntimeKeys();
std::span<const Key> FactoryKeys();
std::span<const Key> SnapshotKeys();
std::span<const Key> Keys(Table table);

// Keys that Kata Containers knows and that do nothing here, sorted.
std::span<const std::string_view> KeysWithoutEffect(Table table);

// Null when there is no such key.
const Key* FindKey(Table table, std::string_view name);
const Key* FindAnnotation(Table table, std::string_view name);
// The key itself, or the one that it is another spelling of.
const Key& Canonical(const Key& key);

// "a whole number from 1 to 10", "one of auto, kvm, tcg", "an absolute path".
std::string Expectation(const Key& key);

Value Get(const Key& key, const Config& config);

// Stores `value` when it has the key's type and is within its bounds.
// Errors  kInvalidArgument  the message is "expected ..."
Result<void> Set(const Key& key, const Value& value, Config* config);

// The same for the text of an annotation: "true", "42", words; lists are separated by
// the key's separator.
Result<void> SetFromText(const Key& key, std::string_view text, Config* config);

}  // namespace kata::config
