// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/rollback.h"
#include "host/hypervisor/qemu/qemu_vm.h"

namespace kata::hypervisor::qemu {
namespace {

using nlohmann::json;

// Linux brings memory online in blocks of this size on x86-64 (guests up to 64 GiB).
constexpr uint32_t kMemoryBlockMib = 128;

}  // namespace

Result<void> QemuVm::AddCpus(uint32_t wanted, Deadline deadline) {
  const json places = KATA_TRY(Call("query-hotpluggable-cpus", nullptr, deadline));
  if (!places.is_array()) return Fail(Code::kDataLoss, "QEMU query-hotpluggable-cpus: no list");
  // QEMU lists them from the last socket to the first; guests like them in order.
  for (auto place = places.rbegin(); place != places.rend() && vcpus_ < wanted; ++place) {
    if (!place->is_object() || place->contains("qom-path") || !place->contains("props") ||
        !place->contains("type")) {
      continue;
    }
    json device = (*place)["props"];
    device["driver"] = (*place)["type"];
    device["id"] = fmt::format("vcpu-{}", vcpus_);
    KATA_TRY(Call("device_add", device, deadline));
    ++vcpus_;
  }
  if (vcpus_ < wanted) {
    return Fail(Code::kResourceExhausted, fmt::format("QEMU has places for {} vCPUs only", vcpus_));
  }
  return {};
}

Result<void> QemuVm::AddMemory(uint32_t wanted_mib, Deadline deadline) {
  const uint32_t missing = wanted_mib - memory_mib_;
  const uint32_t size = (missing + kMemoryBlockMib - 1) / kMemoryBlockMib * kMemoryBlockMib;
  if (slots_used_ >= memory_.hotplug_slots) {
    return Fail(Code::kResourceExhausted,
                fmt::format("all {} memory slots of the VM are in use", memory_.hotplug_slots));
  }
  const std::string name = fmt::format("ram{}", slots_used_ + 1);
  json backend{{"qom-type", memory_.shared ? "memory-backend-memfd" : "memory-backend-ram"},
               {"id", name},
               {"size", uint64_t{size} << 20},
               {"share", memory_.shared}};
  if (memory_.huge_pages) backend["hugetlb"] = true;
  KATA_TRY(Call("object-add", backend, deadline));
  Rollback undo;
  undo.Add(
      [&] { (void)Call("object-del", {{"id", name}}, Deadline::After(std::chrono::seconds(5))); });
  KATA_TRY(Call("device_add", {{"driver", "pc-dimm"}, {"id", "dimm-" + name}, {"memdev", name}},
                deadline));
  undo.Release();
  ++slots_used_;
  memory_mib_ += size;
  return {};
}

Result<Resources> QemuVm::Resize(Resources wanted, Deadline deadline) {
  const std::lock_guard resize_lock(resize_mutex_);
  if (wanted.vcpus > cpus_.max) {
    return Fail(Code::kOutOfRange,
                fmt::format("{} vCPUs: the VM was started for up to {}", wanted.vcpus, cpus_.max));
  }
  const uint32_t max_mib = memory_.hotplug_slots > 0 ? memory_.max_mib : memory_.boot_mib;
  if (wanted.memory_mib > max_mib) {
    return Fail(Code::kOutOfRange, fmt::format("{} MiB of memory: the VM was started for up to {}",
                                               wanted.memory_mib, max_mib));
  }
  if (wanted.vcpus > vcpus_) KATA_TRY_WITHIN("add vCPUs", AddCpus(wanted.vcpus, deadline));
  if (wanted.memory_mib > memory_mib_) {
    KATA_TRY_WITHIN("add memory", AddMemory(wanted.memory_mib, deadline));
  }
  return Resources{vcpus_, memory_mib_};
}

}  // namespace kata::hypervisor::qemu
