// SPDX-License-Identifier: Apache-2.0
#include "oci/usable_capabilities.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sys/caps.h"

namespace kata::oci {
namespace {

using Names = google::protobuf::RepeatedPtrField<std::string>;

bool Holds(const Names& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

// Keeps those for which `usable` holds; the others are returned.
template <class Usable>
std::vector<std::string> Keep(Names* names, Usable usable) {
  std::vector<std::string> gone;
  Names kept;
  for (const std::string& name : *names) {
    if (usable(name)) {
      *kept.Add() = name;
    } else {
      gone.push_back(name);
    }
  }
  names->Swap(&kept);
  return gone;
}

}  // namespace

std::vector<std::string> RemoveUnusableCapabilities(Process* process) {
  std::vector<std::string> notes;
  if (!process->has_capabilities()) return notes;
  LinuxCapabilities& sets = *process->mutable_capabilities();
  std::vector<std::string> unknown;
  for (Names* names :
       {sets.mutable_bounding(), sets.mutable_effective(), sets.mutable_inheritable(),
        sets.mutable_permitted(), sets.mutable_ambient()}) {
    std::ranges::move(
        Keep(names, [](const std::string& name) { return sys::ParseCapability(name).has_value(); }),
        std::back_inserter(unknown));
  }
  if (!unknown.empty()) {
    std::ranges::sort(unknown);
    unknown.erase(std::ranges::unique(unknown).begin(), unknown.end());
    notes.push_back(
        fmt::format("ignoring unknown or unavailable capabilities: [{}]", fmt::join(unknown, " ")));
  }
  for (const std::string& name : Keep(sets.mutable_ambient(), [&](const std::string& each) {
         return Holds(sets.permitted(), each) && Holds(sets.inheritable(), each);
       })) {
    notes.push_back(fmt::format(
        "can't raise ambient capability {}: it is not permitted and inheritable", name));
  }
  return notes;
}

}  // namespace kata::oci
