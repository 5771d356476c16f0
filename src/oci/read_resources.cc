// SPDX-License-Identifier: Apache-2.0
#include "oci/readers.h"

namespace kata::oci {
namespace {

void ReadDeviceRule(const Node& node, LinuxDeviceCgroup* rule) {
  rule->set_type("a");
  rule->set_major(-1);
  rule->set_minor(-1);
  node.Set("allow", rule, &LinuxDeviceCgroup::set_allow);
  node.Set("type", rule->mutable_type());
  if (rule->type().empty()) rule->set_type("a");
  node.Set("major", rule, &LinuxDeviceCgroup::set_major);
  node.Set("minor", rule, &LinuxDeviceCgroup::set_minor);
  node.Set("access", rule->mutable_access());
}

void ReadMemory(const Node& node, LinuxMemory* memory) {
  node.Set("limit", memory, &LinuxMemory::set_limit);
  node.Set("reservation", memory, &LinuxMemory::set_reservation);
  node.Set("swap", memory, &LinuxMemory::set_swap);
  node.Set("kernel", memory, &LinuxMemory::set_kernel);
  node.Set("kernelTCP", memory, &LinuxMemory::set_kernel_tcp);
  node.Set("swappiness", memory, &LinuxMemory::set_swappiness);
  node.Set("disableOOMKiller", memory, &LinuxMemory::set_disable_oom_killer);
  node.NoteUnsupported("useHierarchy", "cgroups of the guest are always hierarchical");
  node.Set("checkBeforeUpdate", memory, &LinuxMemory::set_check_before_update);
}

void ReadCpu(const Node& node, LinuxCPU* cpu) {
  node.Set("shares", cpu, &LinuxCPU::set_shares);
  node.Set("quota", cpu, &LinuxCPU::set_quota);
  node.Set("period", cpu, &LinuxCPU::set_period);
  node.Set("realtimeRuntime", cpu, &LinuxCPU::set_realtime_runtime);
  node.Set("realtimePeriod", cpu, &LinuxCPU::set_realtime_period);
  node.Set("cpus", cpu->mutable_cpus());
  node.Set("mems", cpu->mutable_mems());
  node.Set("burst", cpu, &LinuxCPU::set_burst);
  node.Set("idle", cpu, &LinuxCPU::set_idle);
}

void ReadWeight(const Node& node, LinuxWeightDevice* weight) {
  node.Set("major", weight, &LinuxWeightDevice::set_major);
  node.Set("minor", weight, &LinuxWeightDevice::set_minor);
  node.Set("weight", weight, &LinuxWeightDevice::set_weight);
  node.Set("leafWeight", weight, &LinuxWeightDevice::set_leaf_weight);
}

void ReadThrottle(const Node& node, LinuxThrottleDevice* throttle) {
  node.Set("major", throttle, &LinuxThrottleDevice::set_major);
  node.Set("minor", throttle, &LinuxThrottleDevice::set_minor);
  node.Set("rate", throttle, &LinuxThrottleDevice::set_rate);
}

void ReadBlockIo(const Node& node, LinuxBlockIO* block_io) {
  const auto throttles = [&node](const char* key, auto* out) {
    node.Each(key, [out](const Node& n) { ReadThrottle(n, out->Add()); });
  };
  node.Set("weight", block_io, &LinuxBlockIO::set_weight);
  node.Set("leafWeight", block_io, &LinuxBlockIO::set_leaf_weight);
  node.Each("weightDevice", [&](const Node& n) { ReadWeight(n, block_io->add_weight_device()); });
  throttles("throttleReadBpsDevice", block_io->mutable_throttle_read_bps_device());
  throttles("throttleWriteBpsDevice", block_io->mutable_throttle_write_bps_device());
  throttles("throttleReadIOPSDevice", block_io->mutable_throttle_read_iops_device());
  throttles("throttleWriteIOPSDevice", block_io->mutable_throttle_write_iops_device());
}

void ReadNetwork(const Node& node, LinuxNetwork* network) {
  node.Set("classID", network, &LinuxNetwork::set_class_id);
  node.Each("priorities", [&](const Node& n) {
    LinuxInterfacePriority* priority = network->add_priorities();
    n.Set("name", priority->mutable_name());
    n.Set("priority", priority, &LinuxInterfacePriority::set_priority);
  });
}

}  // namespace

void ReadResources(const Node& node, LinuxResources* resources) {
  node.Each("devices", [&](const Node& n) { ReadDeviceRule(n, resources->add_devices()); });
  node.Object("memory", [&](const Node& n) { ReadMemory(n, resources->mutable_memory()); });
  node.Object("cpu", [&](const Node& n) { ReadCpu(n, resources->mutable_cpu()); });
  node.Object("pids", [&](const Node& n) {
    n.Set("limit", resources->mutable_pids(), &LinuxPids::set_limit);
  });
  node.Object("blockIO", [&](const Node& n) { ReadBlockIo(n, resources->mutable_block_io()); });
  node.Each("hugepageLimits", [&](const Node& n) {
    LinuxHugepageLimit* limit = resources->add_hugepage_limits();
    n.Set("pageSize", limit->mutable_pagesize());
    n.Set("limit", limit, &LinuxHugepageLimit::set_limit);
  });
  node.Object("network", [&](const Node& n) { ReadNetwork(n, resources->mutable_network()); });
  node.Set("unified", resources->mutable_unified());
  node.NoteUnsupported("rdma", "guests have no RDMA devices");
}

}  // namespace kata::oci
