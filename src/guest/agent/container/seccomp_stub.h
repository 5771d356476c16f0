// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/seccomp_stub.h - what a profile says about system calls that are younger
// than itself: that they do not exist.
//
// Basis: seccomp(2) "Filters"; struct seccomp_data.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

namespace kata::guest {

struct NewestCall {
  uint32_t architecture;  // SCMP_ARCH_*
  uint32_t number;        // the highest that the profile names
};

// Instructions to stand before a filter: calls above the newest of their architecture return
// ENOSYS, all others reach the filter, as do those of other architectures.
std::vector<sock_filter> PlanNewerCalls(const std::vector<NewestCall>& newest);

}  // namespace kata::guest
