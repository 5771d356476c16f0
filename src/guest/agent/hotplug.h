// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/hotplug.h - processors and memory that the VMM adds while the guest runs.
//
// Basis: kernel Documentation/ABI/testing/sysfs-devices-memory, sysfs-devices-system-cpu. `root` is
// /sys, or a directory that looks like it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::guest {

// Bytes of one block of memory that can be plugged; 0 where memory cannot be plugged.
uint64_t MemoryBlockSize(const std::string& root);
// Whether addresses can be announced by hand (ProbeMemory).
bool SupportsMemoryProbe(const std::string& root);
Result<void> ProbeMemory(const std::string& root, std::span<const uint64_t> addresses);

// Has the kernel switch memory on as it is plugged, which it does without keeping the agent.
// Nothing where memory cannot be plugged.
Result<void> OnlineMemoryByItself(const std::string& root);
// The numbers of the blocks that are there, ascending, whether on or off.
std::vector<uint32_t> MemoryBlocks(const std::string& root);
bool MemoryBlockIsOn(const std::string& root, uint32_t block);

// Switches on what is present and off. A kernel that does so by itself leaves nothing to do.
Result<void> OnlineMemory(const std::string& root);
Result<void> OnlineCpus(const std::string& root);
// Processors that are on.
Result<uint32_t> CountOnlineCpus(const std::string& root);

// How many numbers a list such as "0-3,7" names.
// Errors  kInvalidArgument
Result<uint32_t> CountInList(std::string_view list);

}  // namespace kata::guest
