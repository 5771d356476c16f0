// SPDX-License-Identifier: Apache-2.0
//
// host/network/settings.h - which sysctls of a network namespace its guest is given.
//
// Those that the kernel keeps for each namespace and that people set: an explicit list. What a
// specification sets in linux.sysctl is its own business: the guest puts that first.
// Basis: kernel Documentation/networking/ip-sysctl.rst.
#pragma once

#include <map>
#include <string>

#include "host/network/endpoints.h"

namespace kata::network {

// By their paths below /proc/sys/net: {"ipv4/ip_forward", "1"}.
using Settings = std::map<std::string, std::string>;

// Where the guest's frames end, which decides what of a namespace concerns the guest.
enum class SettingsFor {
  kFrames,   // in the namespace: all of the list
  kSockets,  // here: what programs look at, not how packets travel
};

// The listed ones of the calling thread's namespace, but for those of single interfaces, which the
// kernel tells with the interface (sys::Link). What the kernel has not is left out.
Settings ReadSettings(SettingsFor path);

// What the guest must be told: where `read` is not what a new namespace has, and where an interface
// of the view is not what a new interface there has. Pure.
Settings PlanSettings(const Settings& read, const NamespaceView& view, SettingsFor path);

}  // namespace kata::network
