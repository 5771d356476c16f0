// SPDX-License-Identifier: Apache-2.0
#include "host/plan/guest_limits.h"

#include <sys/sysmacros.h>

// As macros they would rename the accessors of the messages.
#undef major
#undef minor

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace kata::sandbox {
namespace {

// Keeps the entries that name a disk of the container.
template <class Entries>
void KeepDisks(Entries* entries, const std::vector<GuestDisk>& disks,
               const std::function<dev_t(const std::string&)>& device_number,
               std::vector<std::string>* notes) {
  Entries kept;
  for (auto& entry : *entries) {
    const dev_t number =
        makedev(static_cast<unsigned>(entry.major()), static_cast<unsigned>(entry.minor()));
    const auto disk = std::ranges::find_if(
        disks, [&](const GuestDisk& each) { return device_number(each.source) == number; });
    if (disk == disks.end()) {
      notes->push_back(
          fmt::format("blockIO of device {}:{} is not applied: the container does not "
                      "have this disk, and shared files are not on one",
                      entry.major(), entry.minor()));
      continue;
    }
    entry.set_path(disk->container_path);
    *kept.Add() = std::move(entry);
  }
  entries->Swap(&kept);
}

}  // namespace

oci::LinuxResources LimitsAnew(const oci::LinuxResources& wanted) {
  constexpr int64_t kNone = -1;
  oci::LinuxResources limits = wanted;
  oci::LinuxMemory& memory = *limits.mutable_memory();
  if (memory.limit() == 0) memory.set_limit(kNone);
  memory.set_check_before_update(true);
  if (limits.cpu().quota() == 0) limits.mutable_cpu()->set_quota(kNone);
  if (!limits.pids().has_limit()) limits.mutable_pids()->set_limit(kNone);
  return limits;
}

void RemoveHostResources(oci::LinuxResources* resources, const std::vector<GuestDisk>& disks,
                         const std::function<dev_t(const std::string&)>& device_number,
                         std::vector<std::string>* notes) {
  const auto note = [notes](bool asked, const char* field, const char* reason) {
    if (asked) notes->push_back(fmt::format("{} is not applied: {}", field, reason));
  };
  constexpr const char* kVersion2 = "version 2 of control groups does not have it";
  const oci::LinuxMemory& memory = resources->memory();
  note(memory.kernel() != 0 || memory.kernel_tcp() != 0, "memory.kernel", kVersion2);
  // 2^64-1 is how engines say "not set".
  note(memory.swappiness() != 0 && memory.swappiness() != UINT64_MAX, "memory.swappiness",
       kVersion2);
  note(memory.disable_oom_killer(), "memory.disableOOMKiller", kVersion2);
  const oci::LinuxCPU& cpu = resources->cpu();
  note(cpu.realtime_runtime() != 0 || cpu.realtime_period() != 0, "cpu.realtimeRuntime", kVersion2);
  if (!cpu.mems().empty()) {
    note(cpu.mems() != "0", "cpu.mems", "the guest has one memory node");
    resources->mutable_cpu()->clear_mems();
  }
  note(resources->network().class_id() != 0 || resources->network().priorities_size() > 0,
       "network", kVersion2);
  if (!resources->has_block_io()) return;
  oci::LinuxBlockIO& io = *resources->mutable_block_io();
  note(io.leaf_weight() != 0, "blockIO.leafWeight", kVersion2);
  KeepDisks(io.mutable_weight_device(), disks, device_number, notes);
  for (auto* entries :
       {io.mutable_throttle_read_bps_device(), io.mutable_throttle_write_bps_device(),
        io.mutable_throttle_read_iops_device(), io.mutable_throttle_write_iops_device()}) {
    KeepDisks(entries, disks, device_number, notes);
  }
}

}  // namespace kata::sandbox
