// SPDX-License-Identifier: Apache-2.0
#include "host/cli/accelerator.h"

#if __has_include("host/hypervisor/accelerator.h")
#include "host/hypervisor/accelerator.h"
#endif

namespace kata::cli {

Result<AcceleratorFact> DescribeAccelerator([[maybe_unused]] const std::string& word) {
#if __has_include("host/hypervisor/accelerator.h")
  const hypervisor::Accelerator choice = KATA_TRY(hypervisor::ChooseAccelerator(word));
  return AcceleratorFact{std::string(choice.name()), std::string(choice.reason)};
#else
  if (word == "kvm") return Fail(Code::kFailedPrecondition, "this build emulates all VMs");
  return AcceleratorFact{"tcg", "this build emulates all VMs"};
#endif
}

}  // namespace kata::cli
