// SPDX-License-Identifier: Apache-2.0
//
// One setting of a file: a key's value, or a warning.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "host/config/load.h"
#include "host/config/nearest.h"

namespace kata::config {
namespace {

constexpr size_t kShownBytes = 80;

constexpr std::string_view kOtherVmms[] = {"acrn",       "clh",    "cloud-hypervisor",
                                           "dragonball", "fc",     "firecracker",
                                           "openvmm",    "remote", "stratovirt"};

// Tables in which nothing has an effect.
bool IsIdleTable(const Loaded& loaded, std::string_view name) {
  return (name.starts_with(loaded.vmm->table) && name.ends_with(".factory")) ||
         name == "agent.kata.mem_agent";
}

std::optional<Table> FindTable(const Loaded& loaded, std::string_view name) {
  for (const Table table : kTables) {
    if (loaded.TableOf(table) == name) return table;
  }
  return std::nullopt;
}

bool IsOtherVmm(std::string_view name) {
  constexpr std::string_view kPrefix = "hypervisor.";
  if (!name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  name = name.substr(0, name.find('.'));
  return std::find(std::begin(kOtherVmms), std::end(kOtherVmms), name) != std::end(kOtherVmms);
}

std::string_view Shown(std::string_view word) { return word.substr(0, kShownBytes); }

std::string Guess(std::string_view nearest) {
  return nearest.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", nearest);
}

std::string UnknownTable(const Loaded& loaded, const Setting& setting) {
  std::vector<std::string_view> names;
  for (const Table table : kTables) names.push_back(loaded.TableOf(table));
  if (setting.table.empty()) {
    return fmt::format("{}: \"{}\" stands outside every table and is ignored",
                       setting.source.ToString(), Shown(setting.key));
  }
  return fmt::format("{}: \"{}\" in the unknown table [{}] is ignored{}", setting.source.ToString(),
                     Shown(setting.key), Shown(setting.table),
                     Guess(Nearest(setting.table, names)));
}

std::string UnknownKey(Table table, const Setting& setting) {
  std::vector<std::string_view> names;
  for (const Key& key : Keys(table)) names.push_back(key.name);
  const auto idle = KeysWithoutEffect(table);
  names.insert(names.end(), idle.begin(), idle.end());
  return fmt::format("{}: unknown key \"{}\" in [{}] is ignored{}", setting.source.ToString(),
                     Shown(setting.key), setting.table, Guess(Nearest(setting.key, names)));
}

bool HasNoEffect(const Loaded& loaded, std::optional<Table> table, const Setting& setting) {
  if (!table) return IsIdleTable(loaded, setting.table) || IsOtherVmm(setting.table);
  const auto idle = KeysWithoutEffect(*table);
  return std::find(idle.begin(), idle.end(), setting.key) != idle.end();
}

Result<void> Store(const Key& key, const Setting& setting, Loaded* loaded) {
  if (!setting.value) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{}: [{}] {}: expected {}", setting.source.ToString(), setting.table,
                            setting.key, Expectation(key)));
  }
  if (auto set = Set(key, *setting.value, &loaded->config); !set) {
    return Fail(Code::kInvalidArgument, Describe(setting.source, setting.table, key, *setting.value,
                                                 set.error().message()));
  }
  loaded->sources[&Canonical(key)] = setting.source;
  return {};
}

}  // namespace

std::string Describe(const Source& source, std::string_view table, const Key& key,
                     const Value& value, std::string_view problem) {
  return fmt::format("{}: [{}] {} = {}: {}", source.ToString(), table, key.name,
                     ToToml(value, kShownBytes), problem);
}

Result<void> ApplySettings(const std::vector<Setting>& settings, Loaded* loaded) {
  std::vector<std::string> idle;
  for (const Setting& setting : settings) {
    const std::optional<Table> table = FindTable(*loaded, setting.table);
    const Key* key = table ? FindKey(*table, setting.key) : nullptr;
    if (key != nullptr) {
      KATA_TRY(Store(*key, setting, loaded));
    } else if (HasNoEffect(*loaded, table, setting)) {
      idle.push_back(fmt::format("{} (line {})", Shown(setting.key), setting.source.line));
    } else {
      loaded->warnings.push_back(table ? UnknownKey(*table, setting)
                                       : UnknownTable(*loaded, setting));
    }
  }
  if (!idle.empty()) {
    loaded->warnings.push_back(fmt::format("{}: known keys that have no effect here: {}",
                                           settings.front().source.origin, fmt::join(idle, ", ")));
  }
  return {};
}

}  // namespace kata::config
