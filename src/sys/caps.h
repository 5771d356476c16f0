// SPDX-License-Identifier: Apache-2.0
//
// sys/caps.h - capabilities of the calling thread, without a library.
//
// Basis: capabilities(7); OCI runtime-spec config.md "Linux process", capabilities.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace kata::sys {

// Bit n stands for capability number n.
using CapabilitySet = uint64_t;

// Errors  kInvalidArgument  `name` is not "CAP_..." as the specification spells it; case counts
Result<int> ParseCapability(std::string_view name);

// `names` is any range of strings.
template <class Range>
Result<CapabilitySet> ParseCapabilities(const Range& names) {
  CapabilitySet set = 0;
  for (const auto& name : names) set |= CapabilitySet{1} << KATA_TRY(ParseCapability(name));
  return set;
}

struct CapabilitySets {
  CapabilitySet bounding = 0;
  CapabilitySet effective = 0;
  CapabilitySet permitted = 0;
  CapabilitySet inheritable = 0;
  CapabilitySet ambient = 0;
};

// Every capability that the running kernel knows.
CapabilitySet KernelCapabilities();

// Removes from the bounding set what `keep` does not have. Needs CAP_SETPCAP.
Result<void> LimitBoundingSet(CapabilitySet keep);

// Makes every permitted capability effective, as a change of user does not.
Result<void> UsePermittedCapabilities();

// Sets effective, permitted, inheritable and ambient; capabilities that the kernel does not know
// are left out. Call after LimitBoundingSet and after the change of user.
Result<void> SetCapabilities(const CapabilitySets& sets);

}  // namespace kata::sys
