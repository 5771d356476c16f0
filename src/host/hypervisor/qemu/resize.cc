// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/hypervisor/qemu/memory_plan.h"
#include "host/hypervisor/qemu/qemu_vm.h"

namespace kata::hypervisor::qemu {

using nlohmann::json;

Result<std::string> QemuVm::AddCpus(uint32_t wanted, Deadline deadline) {
  const json places = KATA_TRY(Call("query-hotpluggable-cpus", nullptr, deadline));
  if (!places.is_array()) return Fail(Code::kDataLoss, "QEMU query-hotpluggable-cpus: no list");
  // Counted anew: one whose device_add was not answered in time may have come all the same.
  vcpus_ = static_cast<uint32_t>(std::ranges::count_if(
      places, [](const json& place) { return place.is_object() && place.contains("qom-path"); }));
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
  if (vcpus_ >= wanted) return "";
  return fmt::format("the VM was started for up to {} vCPUs", cpus_.max);
}

Result<void> QemuVm::AddModule(uint32_t size_mib, Deadline deadline) {
  const std::string name = fmt::format("ram{}", slots_used_ + 1);
  json backend{{"qom-type", memory_.shared ? "memory-backend-memfd" : "memory-backend-ram"},
               {"id", name},
               {"size", uint64_t{size_mib} << 20},
               {"share", memory_.shared}};
  if (memory_.huge_pages) backend["hugetlb"] = true;
  KATA_TRY(Call("object-add", backend, deadline));
  Rollback undo;
  undo.Add([&] { (void)Call("object-del", {{"id", name}}, UndoDeadline()); });
  KATA_TRY(Call("device_add", {{"driver", "pc-dimm"}, {"id", "dimm-" + name}, {"memdev", name}},
                deadline));
  undo.Release();
  ++slots_used_;
  memory_mib_ += size_mib;
  return {};
}

Result<void> QemuVm::CountModules(Deadline deadline) {
  const json modules = KATA_TRY(Call("query-memory-devices", nullptr, deadline));
  if (!modules.is_array()) return Fail(Code::kDataLoss, "QEMU query-memory-devices: no list");
  uint64_t bytes = 0;
  for (const json& module : modules) {
    const json* data = module.is_object() && module.contains("data") ? &module["data"] : nullptr;
    if (data == nullptr || !data->is_object() || !data->contains("size")) continue;
    const json& size = (*data)["size"];
    if (size.is_number_unsigned()) bytes += size.get<uint64_t>();
  }
  slots_used_ = static_cast<uint32_t>(modules.size());
  memory_mib_ = memory_.boot_mib + static_cast<uint32_t>(bytes >> 20);
  return {};
}

Result<std::string> QemuVm::AddMemory(uint32_t wanted_mib, Deadline deadline) {
  KATA_TRY(CountModules(deadline));
  std::string refused;
  for (uint32_t target = wanted_mib;;) {
    const MemoryPlan plan = PlanMemory({.now_mib = memory_mib_,
                                        .max_mib = memory_.max_mib,
                                        .slots = memory_.hotplug_slots,
                                        .slots_used = slots_used_},
                                       target);
    Result<void> added;
    for (const uint32_t module : plan.modules_mib) {
      added = AddModule(module, deadline);
      if (!added) break;
    }
    if (added) return refused.empty() ? plan.shortfall : refused;
    if (added.error().code() != Code::kFailedPrecondition) {
      return std::unexpected(std::move(added).error());
    }
    // What a host refuses as a whole (it has too few huge pages, say) it may give in part.
    refused = added.error().message();
    const uint32_t half = (target - memory_mib_) / 2;
    if (half < kMemoryBlockMib) return refused;
    target = memory_mib_ + half;
  }
}

Result<Resized> QemuVm::Resize(Resources wanted, Deadline deadline) {
  if (!resizing_.Begin(deadline)) {
    return Fail(Code::kDeadlineExceeded, "another change of the VM's size does not end");
  }
  const CallTurn turn(resizing_);
  Resized reached;
  if (wanted.vcpus > vcpus_) {
    reached.shortfall = KATA_TRY_WITHIN("add vCPUs", AddCpus(wanted.vcpus, deadline));
  }
  if (wanted.memory_mib > memory_mib_) {
    const std::string memory =
        KATA_TRY_WITHIN("add memory", AddMemory(wanted.memory_mib, deadline));
    if (!reached.shortfall.empty() && !memory.empty()) reached.shortfall += "; ";
    reached.shortfall += memory;
  }
  reached.now = {.vcpus = vcpus_, .memory_mib = memory_mib_};
  return reached;
}

}  // namespace kata::hypervisor::qemu
