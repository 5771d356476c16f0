// SPDX-License-Identifier: Apache-2.0
//
// host/machine/growth.h - a guest grows with its containers, and what came of that is written down
// (host/record/size_report.h).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/call_queue.h"
#include "base/deadline.h"
#include "base/mutex.h"
#include "base/result.h"
#include "host/config/config.h"
#include "host/machine/guest.h"
#include "host/plan/vm_plan.h"
#include "host/record/size_report.h"

namespace kata::sandbox {

// Whether a machine of `has` processors that runs can be given `wanted`.
// Errors  kFailedPrecondition  not with this kernel, with the remedy
Result<void> CheckCpuHotplug(const config::Config& config, hypervisor::AcceleratorKind accelerator,
                             uint32_t has, uint32_t wanted);

// Of one guest. Safe from every thread; growths come one after the other, or sums would overtake
// each other, and who waits for others gives up after a while.
class Growth {
 public:
  // Reports are for `sandbox_id` in `records`.
  Growth(const StartedGuest& guest, std::shared_ptr<const config::Config> config,
         std::string sandbox_id, std::string records);
  Growth(const Growth&) = delete;
  Growth& operator=(const Growth&) = delete;

  // Gives the guest the processors and memory that its containers' limits, `containers` in all, ask
  // for beyond its own, as far as it goes, and waits until it has them in use. One that cannot grow
  // still works: the report says what was reached and why it is not more, and so does the log.
  void Grow(const MachineSize& containers) KATA_EXCLUDES(mutex_);
  // The same for a caller who asks for more than `containers` were: where that is more memory than
  // the guest can have, the report is as before, though it may have grown on the way.
  // Errors  kResourceExhausted  it lacks more of what is asked for than before
  //         kDeadlineExceeded   earlier growths do not come to an end
  Result<void> GrowOrRefuse(const MachineSize& containers) KATA_EXCLUDES(mutex_);
  // The report alone, when a container has gone: a machine does not shrink.
  void Report(const MachineSize& containers) KATA_EXCLUDES(mutex_);

 private:
  void GrowFor(const MachineSize& containers) KATA_REQUIRES(growing_) KATA_EXCLUDES(mutex_);
  // The reason why the guest falls short of `wanted`, or nothing.
  std::string GrowTo(const MachineSize& wanted) KATA_REQUIRES(growing_) KATA_EXCLUDES(mutex_);
  SizeReport Describe(const MachineSize& containers, std::string reason) const
      KATA_REQUIRES(mutex_);
  void Publish(SizeReport report) KATA_REQUIRES(mutex_);
  Deadline Turn() const;

  const std::shared_ptr<hypervisor::Hypervisor> vm_;
  const std::shared_ptr<agent::AgentClient> agent_;
  const hypervisor::AcceleratorKind accelerator_;
  const uint32_t boot_mib_;  // that the guest began with
  const std::shared_ptr<const config::Config> config_;
  const std::string sandbox_id_;
  const std::string records_;

  CallQueue growing_;  // calls to the guest and the VMM

  Mutex mutex_;
  MachineSize size_ KATA_GUARDED_BY(mutex_);  // that the guest has in use
  std::optional<SizeReport> report_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
