// SPDX-License-Identifier: Apache-2.0
#include "host/machine/vm_template.h"

#include <cpuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "host/machine/guest_network.h"
#include "host/network/plan.h"
#include "host/plan/vm_plan.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

// Counts up when templates of before cannot be used any more.
constexpr int kGeneration = 2;

Result<std::string> IdentityOf(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return FailErrno("stat", path);
  return fmt::format("{} {}.{} {} bytes {}.{:09}\n", path, status.st_dev, status.st_ino,
                     status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

// Which processor this is and what it can do, without what differs from core to core.
std::string ProcessorIdentity() {
  std::string text = "cpu";
  const auto add = [&](unsigned leaf, bool with_ebx) {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    if (__get_cpuid_count(leaf, 0, &eax, &ebx, &ecx, &edx) == 0) return;
    text += fmt::format(" {:x}:{:x}.{:x}.{:x}.{:x}", leaf, eax, with_ebx ? ebx : 0, ecx, edx);
  };
  add(0, true);
  add(1, false);
  add(7, true);
  add(0x80000001, true);
  return text + "\n";
}

std::string HostKernel() {
  utsname name{};
  if (::uname(&name) != 0) return {};
  return fmt::format("kernel {} {}\n", name.release, name.version);
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
  return key + ProcessorIdentity() + HostKernel() + vmm.state_key(spec);
}

Result<sys::UniqueFd> MakeMemoryFile(uint32_t mib) {
  sys::UniqueFd file(::memfd_create("guest-memory", MFD_CLOEXEC));
  if (!file) return FailErrno("memfd_create");
  if (::ftruncate(file.get(), static_cast<off_t>(uint64_t{mib} << 20)) != 0) {
    return FailErrno("ftruncate", "guest memory");
  }
  return file;
}

Result<MemoryCopy> MemoryCopy::Begin(factory::Template from, bool shared) {
  MemoryCopy copy;
  copy.name_ = from.info.name;
  copy.state_ = std::move(from.state);
  copy.file_ = shared ? KATA_TRY(MakeMemoryFile(from.info.memory_mib))
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
