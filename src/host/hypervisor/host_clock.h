// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/host_clock.h - how fast the processor's time stamp counter runs.
//
// A guest without KVM's clock keeps time by this counter, and measures its rate at boot against a
// timer. Where the host is busy, and the VMM emulates both, that is wrong by several times.
// Basis: Linux Documentation/admin-guide/kernel-parameters.txt, "tsc_early_khz".
#pragma once

#include <cstdint>

namespace kata::hypervisor {

// In kHz, against CLOCK_MONOTONIC; 0 where it cannot be told. The first call takes 20 ms, and
// longer on a busy host; then it is known.
uint32_t TscKhz();

}  // namespace kata::hypervisor
