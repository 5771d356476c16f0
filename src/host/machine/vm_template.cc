// SPDX-License-Identifier: Apache-2.0
#include "host/machine/vm_template.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "host/hypervisor/host_identity.h"
#include "host/hypervisor/memory_file.h"
#include "host/machine/guest_network.h"
#include "host/network/plan.h"
#include "host/plan/vm_plan.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

// Counts up when templates of before cannot be used any more.
constexpr int kGeneration = 4;

Result<std::string> IdentityOf(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return FailErrno("stat", path);
  return fmt::format("{} {}.{} {} bytes {}.{:09}\n", path, status.st_dev, status.st_ino,
                     status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

}  // namespace

bool CanBeCopied(const config::Config& config) {
  const auto vmm = hypervisor::FindVmm(config.runtime.hypervisor_name);
  return vmm && (*vmm)->capabilities.save && config.factory.enable_template &&
         !config.hypervisor.enable_hugepages && !config.hypervisor.enable_mem_prealloc &&
         !config.hypervisor.enable_debug;
}

Result<std::string> TemplateKey(const config::Config& config, const hypervisor::Vmm& vmm,
                                hypervisor::AcceleratorKind accelerator, bool vsock) {
  const config::HypervisorConfig& from = config.hypervisor;
  hypervisor::VmSpec spec = PlanVm("template", config, TotalSize(from, {}), accelerator);
  spec.memory.shared = true;  // the template's own; its copies may map it privately
  if (vsock) spec.agent = hypervisor::VsockChannel{};
  const auto model = KATA_TRY(network::ModelByName(config.runtime.internetworking_model));
  if (network::NicsAtBoot({}, model, 1) > 0) {
    hypervisor::Nic nic{.id = "net0", .mac = GuestNetwork::kTemplateMac};
    nic.tap_fds.resize(QueuesOf(config));
    if (!from.disable_vhost_net && sys::Exists("/dev/vhost-net")) {
      nic.vhost_fds.resize(nic.tap_fds.size());
    }
    spec.devices.push_back(std::move(nic));
  }
  std::string key = fmt::format("generation {}\n", kGeneration);
  for (const std::string& file : {from.path, from.kernel, from.initrd, from.image}) {
    if (!file.empty()) key += KATA_TRY(IdentityOf(file));
  }
  return key + hypervisor::ProcessorIdentity() + "\n" + hypervisor::HostKernel() + "\n" +
         vmm.state_key(spec);
}

Result<MemoryCopy> MemoryCopy::Begin(factory::Template from, bool shared) {
  MemoryCopy copy;
  copy.name_ = from.info.name;
  copy.state_ = std::move(from.state);
  copy.file_ = shared ? KATA_TRY(hypervisor::MakeMemoryFile(from.info.memory_mib))
                      : KATA_TRY(sys::Duplicate(from.memory.get()));
  sys::UniqueFd to;
  if (shared) to = KATA_TRY(sys::Duplicate(copy.file_.get()));
  copy.done_ =
      std::async(std::launch::async,
                 [from = std::move(from.memory), image = std::move(from.info.memory),
                  to = std::move(to)] { return factory::LoadMemory(from.get(), image, to.get()); });
  return copy;
}

}  // namespace kata::sandbox
