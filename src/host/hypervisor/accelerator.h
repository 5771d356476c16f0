// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/accelerator.h - KVM or the VMM's own translator (TCG), and why.
//
// A /dev/kvm that opens proves nothing: where the processor's virtualization is missing, a KVM
// module may still be there and interpret guest code instruction by instruction, too slowly for any
// kernel and not completely. So "auto" runs a few thousand instructions and looks at the clock.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"
#include "host/hypervisor/vm_spec.h"

namespace kata::hypervisor {

struct AcceleratorChoice {
  AcceleratorKind kind = AcceleratorKind::kTcg;
  // One sentence without a full stop, such as "/dev/kvm cannot run guest code: ...".
  std::string reason;

  std::string_view name() const { return kind == AcceleratorKind::kKvm ? "kvm" : "tcg"; }
};

// How long the probe may take in all, whatever the kernel does.
inline constexpr std::chrono::milliseconds kProbeLimit{100};
// Where the answer is kept for as long as the host is up.
inline constexpr char kAcceleratorCache[] = "/run/kata-containers/accelerator.json";

// `wanted` is "auto", "kvm" or "tcg"; the latter two are taken as they are. For "auto" the kept
// answer is used if there is one, else the host is probed and the answer kept in `cache_path`
// (empty: neither).
// Errors  kInvalidArgument  another word
//         kNotFound, kPermissionDenied  "kvm", but /dev/kvm is missing or may not be opened
Result<AcceleratorChoice> ChooseAccelerator(std::string_view wanted,
                                            const std::string& cache_path = kAcceleratorCache);

// Probes the host, at most for kProbeLimit.
AcceleratorChoice ProbeAccelerator();

}  // namespace kata::hypervisor
