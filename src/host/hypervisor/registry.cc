// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/registry.h"

#include <algorithm>
#include <list>
#include <utility>

#include <fmt/format.h>

#include "host/hypervisor/qemu/qemu.h"
#include "sys/process.h"

namespace kata::hypervisor {
namespace {

constexpr size_t kMostShown = 500;

// In the order of kVmms, then those of tests. A list, so that what was found stays where it is.
std::list<Vmm>& All() {
  static std::list<Vmm> all = {qemu::Describe()};
  return all;
}

}  // namespace

Result<const Vmm*> FindVmm(std::string_view name) {
  if (name.empty()) return &All().front();
  std::string known;
  for (const Vmm& vmm : All()) {
    if (vmm.traits.name == name) return &vmm;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", vmm.traits.name);
  }
  return Fail(Code::kNotFound, fmt::format("no VMM \"{}\": there is {}", name, known));
}

void AddVmm(Vmm vmm) {
  const auto there = std::ranges::find_if(
      All(), [&](const Vmm& each) { return each.traits.name == vmm.traits.name; });
  if (there != All().end()) {
    *there = std::move(vmm);
  } else {
    All().push_back(std::move(vmm));
  }
}

Result<Version> ProbeVersion(const Vmm& vmm, const std::string& path, Deadline deadline) {
  sys::Command command;
  command.argv = {path, "--version"};
  const sys::CommandOutput result = KATA_TRY(sys::RunAndCollect(std::move(command), deadline));
  if (!result.status.Success()) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("{} --version: {}: {}", path, result.status.Describe(),
                            result.output.substr(0, kMostShown)));
  }
  return KATA_TRY_WITHIN(path, vmm.parse_version(result.output));
}

Result<void> CheckVersion(const VmmTraits& vmm, const Version& version) {
  if (version >= vmm.oldest) return {};
  return Fail(Code::kFailedPrecondition,
              fmt::format("{} {}.{} is too old: {}.{} or later is needed", vmm.title, version.major,
                          version.minor, vmm.oldest.major, vmm.oldest.minor));
}

}  // namespace kata::hypervisor
