// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/vmm_traits.h - the VMMs that there are, as plain data: what configuration, checks and
// clean-up have to know of each.
//
// It needs no library, so every folder may include it. What makes virtual machines: registry.h.
#pragma once

#include <compare>
#include <string_view>

namespace kata::hypervisor {

struct Version {
  int major = 0;
  int minor = 0;
  int micro = 0;
  friend auto operator<=>(const Version&, const Version&) = default;
};

struct VmmTraits {
  std::string_view name;     // in hypervisor_name of configuration.toml, in `check` and `env`
  std::string_view title;    // for people
  std::string_view table;    // of configuration.toml
  std::string_view program;  // its file, searched where no path is configured
  std::string_view process;  // how its process's name begins
  std::string_view install;  // what to do where it is missing
  Version oldest;            // that works
};

inline constexpr VmmTraits kQemu{.name = "qemu",
                                 .title = "QEMU",
                                 .table = "hypervisor.qemu",
                                 .program = "qemu-system-x86_64",
                                 .process = "qemu-system",
                                 .install = "install it (Debian: apt-get install qemu-system-x86)",
                                 .oldest = {.major = 7, .minor = 2}};

// The first is the one that is used where none is named.
inline constexpr VmmTraits kVmms[] = {kQemu};
inline constexpr const VmmTraits& kDefaultVmm = kVmms[0];

}  // namespace kata::hypervisor
