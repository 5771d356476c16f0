// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/host_identity.h"

#include <cpuid.h>
#include <sys/utsname.h>

#include <fmt/format.h>

namespace kata::hypervisor {

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
  return text;
}

std::string HostKernel() {
  utsname name{};
  if (::uname(&name) != 0) return {};
  return fmt::format("kernel {} {}", name.release, name.version);
}

}  // namespace kata::hypervisor
