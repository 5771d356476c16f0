// SPDX-License-Identifier: Apache-2.0
//
// config/guest_kernel.h - which kernel guests have: what stands in kernel.info beside it, and what
// kata-guest-kernel has chosen for this installation.
//
// kernel.info has lines "key: value": kind (own, distribution), release, source, lacks (words), and
// of a chosen one installation (the folder of guest files that it is for) and initrd (size and time
// of the one whose agent it has). Without the file nothing is known, and nothing is said.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kata::config {

// A word of `lacks`: processors cannot be plugged into an emulated machine.
inline constexpr std::string_view kLacksEmulatedCpuHotplug = "emulated-cpu-hotplug";
// Likewise: an overlay that is written to over virtiofs loses files that have several names.
inline constexpr std::string_view kLacksOverlayLinks = "overlayfs-links";

struct GuestKernel {
  std::string kind;
  std::string release;
  std::string source;
  std::vector<std::string> lacks;

  bool Lacks(std::string_view what) const;
};

// Of the kernel at `path`.
std::optional<GuestKernel> DescribeKernel(const std::string& path);

// The folder with a kernel and an initrd that kata-guest-kernel has made for the installation whose
// guest files are in `share`.
struct ChosenGuest {
  std::string directory;  // empty: none
  std::string warning;    // why what is there is not taken; empty: no reason to warn
};
ChosenGuest FindChosenGuest(const std::string& root, const std::string& share);

}  // namespace kata::config
