// SPDX-License-Identifier: Apache-2.0
#include "host/config/choose_vmm.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kata::config {
namespace {

using hypervisor::VmmTraits;

// The table above all of theirs.
constexpr std::string_view kAnyVmm = "hypervisor";
constexpr size_t kMostNameShown = 80;

std::string Names(std::span<const VmmTraits> known) {
  std::vector<std::string_view> names;
  for (const VmmTraits& vmm : known) names.push_back(vmm.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// The last setting of hypervisor_name, if it names anything; one that is no string is refused when
// it is applied.
const Setting* FindName(std::span<const std::vector<Setting>> files) {
  const Setting* last = nullptr;
  for (const auto& settings : files) {
    for (const Setting& setting : settings) {
      if (setting.table == "runtime" && setting.key == "hypervisor_name") last = &setting;
    }
  }
  const auto* name =
      last != nullptr && last->value ? std::get_if<std::string>(&*last->value) : nullptr;
  return name == nullptr || name->empty() ? nullptr : last;
}

Result<VmmChoice> ByName(const Setting& setting, std::span<const VmmTraits> known) {
  const auto& name = std::get<std::string>(*setting.value);
  const auto vmm = std::ranges::find(known, name, &VmmTraits::name);
  if (vmm != known.end()) return VmmChoice{.vmm = &*vmm, .source = setting.source};
  return Fail(
      Code::kInvalidArgument,
      fmt::format("{}: [runtime] hypervisor_name = {}: expected one of {}",
                  setting.source.ToString(), ToToml(*setting.value, kMostNameShown), Names(known)));
}

// The first setting in a table of `vmm`; null: there is none.
const Setting* FirstOf(const VmmTraits& vmm, std::span<const std::vector<Setting>> files) {
  for (const auto& settings : files) {
    const auto first = std::ranges::find_if(
        settings, [&](const Setting& setting) { return IsTableOf(vmm, setting.table); });
    if (first != settings.end()) return &*first;
  }
  return nullptr;
}

Result<VmmChoice> ByTable(std::span<const std::vector<Setting>> files,
                          std::span<const VmmTraits> known) {
  VmmChoice chosen{.vmm = nullptr, .source = {}};
  for (const VmmTraits& vmm : known) {
    const Setting* first = FirstOf(vmm, files);
    if (first == nullptr) continue;
    if (chosen.vmm != nullptr) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("{}: [{}]: there is [{}] too ({}); say which counts by "
                              "hypervisor_name in [runtime], one of {}",
                              first->source.ToString(), vmm.table, chosen.vmm->table,
                              chosen.source.ToString(), Names(known)));
    }
    chosen = {.vmm = &vmm, .source = first->source};
  }
  if (chosen.vmm != nullptr) return chosen;
  const Setting* stranger = FirstOf({.table = kAnyVmm}, files);
  if (stranger == nullptr) return VmmChoice{.vmm = &known.front(), .source = {}};
  return Fail(Code::kInvalidArgument,
              fmt::format("{}: [{}]: no such VMM here; name the table after one of {}",
                          stranger->source.ToString(), stranger->table.substr(0, kMostNameShown),
                          Names(known)));
}

}  // namespace

bool IsTableOf(const VmmTraits& vmm, std::string_view table) {
  if (!table.starts_with(vmm.table)) return false;
  table.remove_prefix(vmm.table.size());
  return table.empty() || table.starts_with('.');
}

Result<VmmChoice> ChooseVmm(std::span<const std::vector<Setting>> files,
                            std::span<const VmmTraits> known) {
  const Setting* name = FindName(files);
  return name != nullptr ? ByName(*name, known) : ByTable(files, known);
}

}  // namespace kata::config
