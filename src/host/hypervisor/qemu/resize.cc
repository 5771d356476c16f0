// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/hypervisor/memory_file.h"
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
  return fmt::format("the VM was started for up to {} vCPUs", shape_.max_vcpus);
}

Result<void> QemuVm::AddModule(uint32_t size_mib, Deadline deadline) {
  const std::string name = fmt::format("ram{}", modules_.size() + 1);
  const std::string id = "dimm-" + name;
  json backend{
      {"qom-type", "memory-backend-memfd"}, {"id", name}, {"size", uint64_t{size_mib} << 20}};
  Rollback undo;
  if (memory_fd_) {
    // In a file of ours: what is plugged into a VM is saved with it.
    const auto [number, set] = KATA_TRY(PassMemory(size_mib, deadline));
    undo.Add([&, set] { (void)Call("remove-fd", {{"fdset-id", set}}, UndoDeadline()); });
    module_files_[id] = {.fd = number};
    backend["qom-type"] = "memory-backend-file";
    backend["mem-path"] = fmt::format("/proc/self/fd/{}", number);
    backend["share"] = true;
  } else {
    backend["share"] = memory_.shared;
    if (memory_.huge_pages) backend["hugetlb"] = true;
  }
  KATA_TRY(Call("object-add", backend, deadline));
  undo.Add([&] { (void)Call("object-del", {{"id", name}}, UndoDeadline()); });
  KATA_TRY(Call("device_add", {{"driver", "pc-dimm"}, {"id", id}, {"memdev", name}}, deadline));
  undo.Release();
  return CountModules(deadline);
}

Result<std::pair<int, int64_t>> QemuVm::PassMemory(uint32_t size_mib, Deadline deadline) {
  const sys::UniqueFd file = KATA_TRY(MakeMemoryFile(size_mib));
  int64_t set = 0;
  {
    const MutexLock lock(mutex_);
    set = next_fd_set_++;
  }
  const json added = KATA_TRY(Call("add-fd", {{"fdset-id", set}}, deadline, file.get()));
  if (added.is_object() && added.contains("fd") && added["fd"].is_number_integer()) {
    return std::pair(added["fd"].get<int>(), set);
  }
  return Fail(Code::kDataLoss, "QEMU add-fd: no number");
}

Result<void> QemuVm::CountModules(Deadline deadline) {
  const json modules = KATA_TRY(Call("query-memory-devices", nullptr, deadline));
  if (!modules.is_array()) return Fail(Code::kDataLoss, "QEMU query-memory-devices: no list");
  std::vector<Module> counted;
  memory_mib_ = shape_.boot_mib;
  for (const json& module : modules) {
    // All wrong types end here.
    try {
      const json& data = module.at("data");
      const auto known = module_files_.find(data.at("id").get<std::string>());
      const auto mib = static_cast<uint32_t>(data.at("size").get<uint64_t>() >> 20);
      counted.push_back({.shape = {.slot = data.at("slot").get<uint32_t>(),
                                   .address = data.at("addr").get<uint64_t>(),
                                   .size_mib = mib},
                         .file = known == module_files_.end() ? ModuleFile{} : known->second});
      memory_mib_ += mib;
    } catch (const json::exception&) {
      return Fail(Code::kDataLoss, "QEMU query-memory-devices: not what it says of modules");
    }
  }
  modules_ = std::move(counted);
  return {};
}

Result<std::string> QemuVm::AddMemory(uint32_t wanted_mib, Deadline deadline) {
  KATA_TRY(CountModules(deadline));
  std::string refused;
  for (uint32_t target = wanted_mib;;) {
    const MemoryPlan plan = PlanMemory({.now_mib = memory_mib_,
                                        .max_mib = shape_.max_mib,
                                        .slots = shape_.memory_slots,
                                        .slots_used = static_cast<uint32_t>(modules_.size())},
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

Result<uint64_t> QemuVm::SizeOfDisk(const std::string& id, Deadline deadline) {
  const json nodes = KATA_TRY(Call("query-named-block-nodes", {{"flat", true}}, deadline));
  if (!nodes.is_array()) return Fail(Code::kDataLoss, "QEMU query-named-block-nodes: no list");
  static const json::json_pointer kSize("/image/virtual-size");
  for (const json& node : nodes) {
    if (!node.is_object() || node.value("node-name", json()) != "drive-" + id) continue;
    if (!node.contains(kSize) || !node[kSize].is_number_unsigned()) break;
    return node[kSize].get<uint64_t>();
  }
  return Fail(Code::kNotFound, "no such disk");
}

Result<void> QemuVm::GrowDisk(const std::string& id, uint64_t bytes, Deadline deadline) {
  const std::string context = fmt::format("grow disk \"{}\"", id);
  // Two at once could make the disk smaller: what QEMU is told to cut off is gone.
  if (!resizing_.Begin(deadline)) {
    return Fail(Code::kDeadlineExceeded, "another change of the VM's size does not end");
  }
  const CallTurn turn(resizing_);
  const uint64_t now = KATA_TRY_WITHIN(context, SizeOfDisk(id, deadline));
  if (now > bytes) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{}: it has {} bytes, and only grows", context, now));
  }
  KATA_TRY_WITHIN(context,
                  Call("block_resize", {{"node-name", "drive-" + id}, {"size", bytes}}, deadline));
  return {};
}

}  // namespace kata::hypervisor::qemu
