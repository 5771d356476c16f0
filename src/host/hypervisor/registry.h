// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/registry.h - the VMMs by name, and what can be asked of one without a virtual machine.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "host/hypervisor/capabilities.h"
#include "host/hypervisor/hypervisor.h"
#include "host/hypervisor/vmm_traits.h"
#include "sys/event_loop.h"

namespace kata::hypervisor {

struct Vmm {
  VmmTraits traits;
  Capabilities capabilities;
  // A VM that has not been started. `loop` carries what its VMM says and must outlive it; it must
  // be running when Start is called.
  std::function<std::unique_ptr<Hypervisor>(sys::EventLoop& loop)> make;
  // What two VMs must have in common for one to go on from the saved state of the other, files left
  // aside: any text, the same for the same. Devices that may differ are not in the spec.
  std::function<std::string(const VmSpec& spec)> state_key;
  // The version in what its program prints for --version.
  // Errors  kFailedPrecondition  another program wrote that
  std::function<Result<Version>(std::string_view output)> parse_version;
};

// The VMM of this name, the default one for the empty name; valid as long as the process.
// Errors  kNotFound  the message names those that there are
Result<const Vmm*> FindVmm(std::string_view name);

// Adds a VMM, or replaces the one of this name, before others look for it. For tests.
void AddVmm(Vmm vmm);

// What `path --version` says. Runs the program, so it is for people who ask, not for every start:
// Start learns the version from the VMM that it has started.
// Errors  kNotFound            no such program
//         kFailedPrecondition  not this VMM, or it does not run
Result<Version> ProbeVersion(const Vmm& vmm, const std::string& path, Deadline deadline);

// Whether kata-cpp works with that version; the one check of `kata-runtime check` and of Start.
// Errors  kFailedPrecondition  too old; the message names both versions
Result<void> CheckVersion(const VmmTraits& vmm, const Version& version);

}  // namespace kata::hypervisor
