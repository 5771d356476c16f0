// SPDX-License-Identifier: Apache-2.0
//
// qemu/qemu.h - virtual machines run by QEMU, for the registry.
#pragma once

#include "base/result.h"
#include "host/hypervisor/registry.h"

namespace kata::hypervisor::qemu {

Vmm Describe();

// "QEMU emulator version 7.2.22 (Debian ...)" and the like.
Result<Version> ParseVersion(std::string_view output);

}  // namespace kata::hypervisor::qemu
