// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/kvm_probe.h - a little guest code under KVM, against the clock.
// Basis: Linux Documentation/virt/kvm/api.rst.
#pragma once

#include <chrono>
#include <string>

namespace kata::hypervisor {

struct KvmProbeResult {
  enum class Outcome {
    kRan,          // the guest code ran to its end
    kFailed,       // KVM refused something, or could not run an instruction; see `detail`
    kTimedOut,     // it was still running at the limit
    kUnavailable,  // no /dev/kvm, or not for us
  };
  Outcome outcome = Outcome::kFailed;
  // From the first guest instruction to the last, or to the limit.
  std::chrono::microseconds guest_time{0};
  std::string detail;
};

// Makes a VM with one processor in 64-bit mode and lets it run `iterations` rounds of a loop of
// five instructions, a 16-byte compare-and-exchange among them if `wide_exchange` is set (every
// kernel uses it, and no interpreter of KVM's knows it). Returns within `limit`, give or take a
// few milliseconds.
KvmProbeResult RunKvmProbe(uint32_t iterations, bool wide_exchange,
                           std::chrono::milliseconds limit);

}  // namespace kata::hypervisor
