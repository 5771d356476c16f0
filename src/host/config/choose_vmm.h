// SPDX-License-Identifier: Apache-2.0
//
// config/choose_vmm.h - whose table of the configuration counts.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/config/toml_file.h"
#include "host/config/value.h"
#include "host/hypervisor/vmm_traits.h"

namespace kata::config {

struct VmmChoice {
  const hypervisor::VmmTraits* vmm;  // one of those that were given
  Source source;                     // what chose it; built in: nothing did
};

// Whether `table` is the VMM's, or below it.
bool IsTableOf(const hypervisor::VmmTraits& vmm, std::string_view table);

// The VMM that the last hypervisor_name of [runtime] names; else the one whose table is there; the
// first of `known`, which is not empty, where there is no table [hypervisor.<name>] at all. A table
// without keys counts as absent, and so does that of a VMM that is not known beside one that is.
//
// Errors  kInvalidArgument  the name, or the only tables, are of VMMs that are not known; or there
//                           are tables of several that are. The message has file, line and the
//                           known ones
Result<VmmChoice> ChooseVmm(std::span<const std::vector<Setting>> files,
                            std::span<const hypervisor::VmmTraits> known);

}  // namespace kata::config
