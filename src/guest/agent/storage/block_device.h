// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/block_device.h - from the host's name of a disk to the guest's node.
//
// The host knows where on a bus it plugged a disk in, not what the guest's kernel calls it.
// `sysfs` is /sys, or a directory that looks like it.
// Basis: the protocol's PCI paths and SCSI addresses (wire.md section "Device messages").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::guest {

struct BlockDevice {
  std::string path;  // such as "/dev/vda"
  unsigned major_number = 0;
  unsigned minor_number = 0;
};

struct PciSlot {
  unsigned slot = 0;      // 0..31
  unsigned function = 0;  // 0..7
  bool operator==(const PciSlot&) const = default;
};

struct PciPath {
  unsigned root_bus = 0;
  std::vector<PciSlot> slots;  // from the root bus downwards
};

// "02/03", "02.0/03.1", "20/00/02" (a root bus from 0x20 on, with two slots or more behind it).
// Errors  kInvalidArgument
Result<PciPath> ParsePciPath(std::string_view text);

struct ScsiAddress {
  unsigned target = 0;
  unsigned lun = 0;
};

// "<id>:<lun>", decimal.
// Errors  kInvalidArgument
Result<ScsiAddress> ParseScsiAddress(std::string_view text);

// Empty while there is no such disk.
std::optional<BlockDevice> FindPciDisk(const PciPath& path, const std::string& sysfs = "/sys");
std::optional<BlockDevice> FindScsiDisk(const ScsiAddress& address,
                                        const std::string& sysfs = "/sys");
// By its node, such as "/dev/vda"; empty while there is no such node or it is no disk.
std::optional<BlockDevice> FindNode(const std::string& path);

// Makes every SCSI host look for a disk at `address`.
void ScanScsi(const ScsiAddress& address, const std::string& sysfs = "/sys");

}  // namespace kata::guest
