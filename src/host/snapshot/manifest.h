// SPDX-License-Identifier: Apache-2.0
//
// host/snapshot/manifest.h - what a snapshot says of itself.
//
// Plain data and its JSON. A manifest may come from anywhere: what is read is bounded and complete,
// and none of it names a file, a program or an option of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/factory/memory_image.h"
#include "host/hypervisor/saved_vm.h"

namespace kata::snapshot {

// Counts up with each change of what a reader has to understand.
inline constexpr uint32_t kFormat = 2;
// The oldest that is read; it has no layers.
inline constexpr uint32_t kOldestFormat = 1;

inline constexpr size_t kMaxManifest = 64 << 20;

// Where a snapshot was made, for the question whether it can go on here (compatible.h).
struct Origin {
  std::string vmm;           // its name
  std::string vmm_version;   // "7.2.22"
  std::string machine;       // the machine as the VMM's driver describes it, a line a part
  std::string processor;     // of the host
  std::string host_kernel;   // its release and version
  std::string guest_kernel;  // the files that the guest was booted from; for people only, a guest
  std::string guest_initrd;  // that goes on needs neither
  std::string build;         // the version of this program

  friend bool operator==(const Origin&, const Origin&) = default;
};

struct MemoryFile {
  uint32_t size_mib = 0;
  factory::MemoryImage image;
};

struct DiskFile {
  std::string id;      // of the device
  uint64_t bytes = 0;  // its size
  factory::MemoryImage image;
};

// An image of a layer, which nobody writes: the machine's and others' at the same time. Known by
// its size, as where it was made (factory/layer_store.h).
struct LayerFile {
  std::string id;      // of the device
  uint64_t bytes = 0;  // its size

  friend bool operator==(const LayerFile&, const LayerFile&) = default;
};

struct Manifest {
  std::string id;
  int64_t created = 0;                  // seconds since 1970
  std::string sandbox_id;               // whose it was
  std::vector<std::string> containers;  // their ids
  Origin origin;
  hypervisor::MachineShape machine;
  uint64_t state_bytes = 0;
  uint64_t state_checksum = 0;
  std::vector<MemoryFile> memory;  // what the machine booted with, then its modules
  std::vector<DiskFile> disks;     // that can be written
  std::vector<LayerFile> layers;   // of the others those that are in the snapshot
  // JSON of the shim's own, not looked into here: containers, processes, streams, network.
  std::string shim;

  // What it takes on the disk, nearly.
  uint64_t bytes() const;
};

// Whether that can be a snapshot's name: 1 to 64 lower-case letters, digits, '-' and '_', a letter
// or digit first.
bool IsId(std::string_view text);
std::string NewId();  // 32 hexadecimal digits, random

std::string Format(const Manifest& manifest);
// Errors  kDataLoss           damaged: not JSON, not the checksum, values out of bounds
//         kFailedPrecondition of another format; the message names both
Result<Manifest> Parse(std::string_view text);

}  // namespace kata::snapshot
