// SPDX-License-Identifier: Apache-2.0
//
// qemu/qemu.h - virtual machines run by QEMU 7.2 or later.
#pragma once

#include <memory>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "host/hypervisor/hypervisor.h"
#include "sys/event_loop.h"

namespace kata::hypervisor::qemu {

// A VM that has not been started. `loop` carries its monitor and console and must outlive it; it
// must be running when Start is called.
std::unique_ptr<Hypervisor> MakeQemu(sys::EventLoop& loop);

struct Version {
  int major = 0;
  int minor = 0;
  int micro = 0;
  friend auto operator<=>(const Version&, const Version&) = default;
};
inline constexpr Version kOldestVersion{7, 2, 0};

// What `path --version` says. Runs the program, so it is for check and env, not for every start:
// Start learns the version from the monitor's greeting.
// Errors  kNotFound            no such program
//         kFailedPrecondition  not QEMU, or it does not run
Result<Version> ProbeVersion(const std::string& path, Deadline deadline);
// "QEMU emulator version 7.2.22 (Debian ...)" and the like.
Result<Version> ParseVersion(std::string_view output);

}  // namespace kata::hypervisor::qemu
