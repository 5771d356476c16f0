// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/compatible.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/version.h"
#include "host/hypervisor/accelerator.h"
#include "host/hypervisor/host_identity.h"

namespace kata::snapshot {
namespace {

using hypervisor::AcceleratorKind;

constexpr char kAnyId[] = "snapshot";
constexpr size_t kMostNamed = 3;
constexpr size_t kMostShown = 200;
constexpr auto kProbeTime = std::chrono::seconds(30);

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (;;) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

// "7.2" of "7.2.22".
std::string_view Series(std::string_view version) {
  const size_t first = version.find('.');
  return first == std::string_view::npos ? version
                                         : version.substr(0, version.find('.', first + 1));
}

void CompareMachines(std::string_view saved, std::string_view here,
                     std::vector<std::string>* differences) {
  std::vector<std::string_view> then = Lines(saved);
  std::vector<std::string_view> now = Lines(here);
  then.resize(std::max(then.size(), now.size()));
  now.resize(then.size());
  size_t named = 0;
  for (size_t i = 0; i < then.size() && named < kMostNamed; ++i) {
    if (then[i] == now[i]) continue;
    ++named;
    differences->push_back(fmt::format("its machine had \"{}\", and one made here has \"{}\"",
                                       then[i].substr(0, kMostShown),
                                       now[i].substr(0, kMostShown)));
  }
}

Result<void> CheckAccelerator(const config::Config& config, const Manifest& saved) {
  const AcceleratorKind then = saved.machine.accelerator;
  const auto here = KATA_TRY(hypervisor::ChooseAccelerator(config.hypervisor.accelerator));
  if (here.kind == then) return {};
  return Fail(
      Code::kFailedPrecondition,
      fmt::format("snapshot \"{}\" cannot go on here: its machine ran {} KVM, and here it "
                  "would run {}; restore it on a host like its own",
                  saved.id, then == AcceleratorKind::kKvm ? "with" : "without", here.name()));
}

}  // namespace

Result<void> CheckGoesOn(const config::Config& config, const Manifest& saved) {
  KATA_TRY(CheckAccelerator(config, saved));
  const hypervisor::Vmm& vmm = *KATA_TRY(hypervisor::FindVmm(config.runtime.hypervisor_name));
  return CheckCompatible(
      saved, KATA_TRY(OriginHere(config, vmm, saved.machine, Deadline::After(kProbeTime))));
}

Result<Origin> OriginHere(const config::Config& config, const hypervisor::Vmm& vmm,
                          const hypervisor::MachineShape& machine, Deadline deadline) {
  const hypervisor::Version version =
      KATA_TRY(hypervisor::ProbeVersion(vmm, config.hypervisor.path, deadline));
  hypervisor::VmSpec spec;
  spec.id = kAnyId;
  spec.cpus.extra_features = config.hypervisor.cpu_features;
  if (machine.vsock) spec.agent = hypervisor::VsockChannel{};
  hypervisor::GiveShape(machine, &spec);
  const std::string& kernel = config.hypervisor.kernel;
  const std::string& initrd = config.hypervisor.initrd;
  return Origin{.vmm = std::string(vmm.traits.name),
                .vmm_version = fmt::format("{}.{}.{}", version.major, version.minor, version.micro),
                .machine = vmm.state_key(spec),
                .processor = hypervisor::ProcessorIdentity(),
                .host_kernel = hypervisor::HostKernel(),
                .guest_kernel = kernel,
                .guest_initrd = initrd.empty() ? config.hypervisor.image : initrd,
                .build = kVersion};
}

Result<void> CheckCompatible(const Manifest& saved, const Origin& here) {
  const Origin& then = saved.origin;
  std::vector<std::string> differences;
  if (then.vmm != here.vmm || Series(then.vmm_version) != Series(here.vmm_version)) {
    differences.push_back(fmt::format("it was saved by {} {}, and here is {} {}", then.vmm,
                                      then.vmm_version, here.vmm, here.vmm_version));
  }
  if (saved.machine.accelerator == AcceleratorKind::kKvm && then.processor != here.processor) {
    differences.push_back("it was saved on another processor");
  }
  CompareMachines(then.machine, here.machine, &differences);
  if (differences.empty()) return {};
  return Fail(Code::kFailedPrecondition,
              fmt::format("snapshot \"{}\" cannot go on here: {}; restore it where it was made and "
                          "with the configuration of then, or start its containers anew",
                          saved.id, fmt::join(differences, "; ")));
}

}  // namespace kata::snapshot
