// SPDX-License-Identifier: Apache-2.0
//
// host/machine/vm_template.h - the VM that the others of a configuration are copies of.
//
// It has the configured size and one spare NIC, and was saved when its agent answered: no
// container, host name, address or secret was ever in it. What a container needs beyond it is
// plugged into the copy, or found by it when it looks for devices.
#pragma once

#include <future>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "host/config/config.h"
#include "host/factory/template_store.h"
#include "host/hypervisor/registry.h"
#include "sys/fd.h"

namespace kata::sandbox {

// Whether such machines can be copies at all: not with huge or preallocated memory, nor when the
// boot itself is to be seen, nor where the VMM cannot save one.
bool CanBeCopied(const config::Config& config);

// All that must be the same for a copy to go on from the template: the machine, the files that it
// was booted from, the VMM, the host's processor and kernel.
// Errors  kNotFound  a file is missing
Result<std::string> TemplateKey(const config::Config& config, const hypervisor::Vmm& vmm,
                                hypervisor::AcceleratorKind accelerator, bool vsock);

// The copy's memory, made while its VMM starts.
class MemoryCopy {
 public:
  // `shared` memory is a copy of the template's; else the template's own file, which is only read.
  static Result<MemoryCopy> Begin(factory::Template from, bool shared);

  // The file for hypervisor::Memory. Once.
  sys::UniqueFd TakeFile() { return std::move(file_); }
  // Writes the saved state to `folder`, for this copy alone.
  Result<void> WriteState(const std::string& folder) const {
    return factory::WriteState(state_, folder);
  }
  const std::string& template_name() const { return name_; }
  // Waits until all of it is there.
  // Errors  kDataLoss  the template is damaged
  Result<void> Finish() { return done_.get(); }

 private:
  std::string name_;
  factory::StateFiles state_;
  sys::UniqueFd file_;
  std::future<Result<void>> done_;
};

}  // namespace kata::sandbox
