// SPDX-License-Identifier: Apache-2.0
#include "host/plan/vm_plan.h"

#include <algorithm>

#include <fmt/format.h>

namespace kata::sandbox {
namespace {

constexpr uint64_t kMiB = 1 << 20;

uint32_t Narrow(uint64_t value) {
  return static_cast<uint32_t>(std::min<uint64_t>(value, UINT32_MAX));
}

// Rounded up. Not by adding first, which wraps.
uint64_t Divide(uint64_t value, uint64_t by) { return value / by + (value % by != 0 ? 1 : 0); }

std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

// What differs from the agent's own defaults.
void AddAgentParams(const config::AgentConfig& agent, std::vector<std::string>* params) {
  if (agent.enable_debug) params->push_back("agent.log=debug");
  if (agent.launch_process_timeout_s != config::AgentConfig{}.launch_process_timeout_s) {
    params->push_back(
        fmt::format("agent.launch_process_timeout={}", agent.launch_process_timeout_s));
  }
  if (agent.container_pipe_size_bytes > 0) {
    params->push_back(fmt::format("agent.container_pipe_size={}", agent.container_pipe_size_bytes));
  }
}

}  // namespace

MachineSize SizeOf(const oci::LinuxResources& resources) {
  MachineSize size;
  const oci::LinuxCPU& cpu = resources.cpu();
  if (cpu.quota() > 0) {
    constexpr uint64_t kDefaultPeriod = 100'000;
    const uint64_t period = cpu.period() > 0 ? cpu.period() : kDefaultPeriod;
    size.vcpus = Narrow(Divide(static_cast<uint64_t>(cpu.quota()), period));
  }
  if (resources.memory().limit() > 0) {
    size.memory_mib = Narrow(Divide(static_cast<uint64_t>(resources.memory().limit()), kMiB));
  }
  return size;
}

MachineSize AskedSize(const config::HypervisorConfig& config, const MachineSize& containers) {
  return MachineSize{.vcpus = Narrow(static_cast<uint64_t>(config.default_vcpus)),
                     .memory_mib = Narrow(static_cast<uint64_t>(config.default_memory_mib))} +
         containers;
}

MachineSize MostSize(const config::HypervisorConfig& config) {
  return {.vcpus = Narrow(static_cast<uint64_t>(config.default_maxvcpus)),
          .memory_mib = Narrow(static_cast<uint64_t>(config.default_maxmemory_mib))};
}

MachineSize TotalSize(const config::HypervisorConfig& config, const MachineSize& containers) {
  const MachineSize asked = AskedSize(config, containers);
  const MachineSize most = MostSize(config);
  return {.vcpus = std::min(asked.vcpus, most.vcpus),
          .memory_mib = std::min(asked.memory_mib, most.memory_mib)};
}

// By the machine's own size, not that with its containers: a NIC has as many as it was made with.
uint32_t QueuesOf(const config::Config& config) {
  constexpr int64_t kMostQueues = 16;
  const int64_t configured = config.hypervisor.network_queues;
  return static_cast<uint32_t>(std::clamp<int64_t>(
      configured > 0 ? configured : config.hypervisor.default_vcpus, 1, kMostQueues));
}

hypervisor::VmSpec PlanVm(const std::string& sandbox_id, const config::Config& config,
                          const MachineSize& size, hypervisor::AcceleratorKind accelerator) {
  const config::HypervisorConfig& from = config.hypervisor;
  hypervisor::VmSpec vm;
  vm.id = sandbox_id;
  vm.accelerator = accelerator;
  vm.vmm_path = from.path;
  vm.kernel = from.kernel;
  vm.initrd = from.initrd;
  vm.image = from.image;
  vm.kernel_params = Words(from.kernel_params);
  // Behind the driver's own parameter of this name: the last one counts.
  if (!from.image.empty()) vm.kernel_params.push_back("rootfstype=" + from.rootfs_type);
  AddAgentParams(config.agent, &vm.kernel_params);
  vm.cpus.boot = size.vcpus;
  vm.cpus.max = static_cast<uint32_t>(from.default_maxvcpus);
  vm.cpus.extra_features = from.cpu_features;
  vm.memory.boot_mib = size.memory_mib;
  vm.memory.hotplug_slots = static_cast<uint32_t>(from.memory_slots);
  vm.memory.max_mib = static_cast<uint32_t>(from.default_maxmemory_mib);
  vm.hotplug_ports = static_cast<uint32_t>(from.pcie_root_port);
  vm.memory.shared = from.shares_files();
  vm.memory.huge_pages = from.enable_hugepages;
  vm.memory.preallocate = from.enable_mem_prealloc;
  // Freed pages go back by a hole in their file, which copies of one template have in common.
  vm.free_page_reporting =
      from.reclaim_guest_freed_memory && (vm.memory.shared || !config.factory.enable_template);
  vm.seccomp = !from.seccomp_sandbox.empty();
  vm.debug_console = from.enable_debug;
  return vm;
}

}  // namespace kata::sandbox
