// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/host_identity.h - what of a host may decide whether a saved VM goes on there.
#pragma once

#include <string>

namespace kata::hypervisor {

// Which processor this is and what it can do, without what differs from core to core. One line.
std::string ProcessorIdentity();
// Release and version, one line.
std::string HostKernel();

}  // namespace kata::hypervisor
