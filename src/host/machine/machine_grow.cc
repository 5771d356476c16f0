// SPDX-License-Identifier: Apache-2.0
//
// A machine that runs grows with its containers, and what came of that is written down.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/guest_kernel.h"
#include "host/machine/machine.h"

namespace kata::sandbox {
namespace {

using std::chrono::seconds;

constexpr auto kResizeTimeout = seconds(20);

}  // namespace

Result<void> Machine::CheckCpuHotplug(uint32_t has, uint32_t wanted) const {
  if (wanted <= has || accelerator_ != hypervisor::AcceleratorKind::kTcg) return {};
  const auto kernel = config::DescribeKernel(config().hypervisor.kernel);
  if (!kernel || !kernel->Lacks(config::kLacksEmulatedCpuHotplug)) return {};
  return Fail(
      Code::kFailedPrecondition,
      fmt::format("the guest's kernel {} takes no more than its {} processors while it runs "
                  "without KVM: start the first container with what all need, or use "
                  "kata-cpp's own kernel (docs/guest-kernel.md)",
                  kernel->release, has));
}

void Machine::Grow(const MachineSize& containers) {
  const std::lock_guard lock(grow_mutex_);
  GrowFor(containers);
}

Result<void> Machine::GrowOrRefuse(const MachineSize& containers) {
  const std::lock_guard lock(grow_mutex_);
  const SizeReport before = size_report_.value_or(SizeReport());
  const MachineSize within = TotalSize(config().hypervisor, containers);
  // Nothing is added in vain where the configuration says already that it is not enough.
  KATA_TRY(CheckGrowth(before, {.asked = AskedSize(config().hypervisor, containers),
                                .has = within,
                                .most = MostSize(config().hypervisor),
                                .reason = ""}));
  GrowFor(containers);
  auto grown = CheckGrowth(before, *size_report_);
  if (!grown) {
    SizeReport again = before;
    again.has = size_;
    Publish(std::move(again));
  }
  return grown;
}

void Machine::GrowFor(const MachineSize& containers) {
  MachineSize wanted = TotalSize(config().hypervisor, containers);
  std::string reason;
  if (const auto grows = CheckCpuHotplug(size_.vcpus, wanted.vcpus); !grows) {
    reason = grows.error().message();
    wanted.vcpus = size_.vcpus;
  }
  if (wanted.vcpus > size_.vcpus || wanted.memory_mib > size_.memory_mib) {
    const std::string shortfall = GrowTo(wanted);
    if (!reason.empty() && !shortfall.empty()) reason += "; ";
    reason += shortfall;
  }
  ReportSize(containers, std::move(reason));
}

void Machine::Ask(const MachineSize& containers) {
  if (!booted()) return;
  const std::lock_guard lock(grow_mutex_);
  if (size_report_) ReportSize(containers, size_report_->reason);
}

std::string Machine::GrowTo(const MachineSize& wanted) {
  const auto resized = vm_->Resize({.vcpus = wanted.vcpus, .memory_mib = wanted.memory_mib},
                                   Deadline::After(kResizeTimeout));
  if (!resized) return resized.error().message();
  const hypervisor::Resources& has = resized->now;
  // The machine's own was there from the beginning.
  const uint32_t plugged = has.memory_mib - std::min(boot_mib_, has.memory_mib);
  const auto online = agent_->OnlineCpusAndMemory(has.vcpus, plugged);
  if (!online) return online.error().message();
  size_ = {.vcpus = online->vcpus, .memory_mib = boot_mib_ + online->plugged_mib};
  if (online->plugged_mib >= plugged) return resized->shortfall;
  return fmt::format("of {} MiB that were added the guest has taken {} in use so far", plugged,
                     online->plugged_mib);
}

void Machine::ReportSize(const MachineSize& containers, std::string reason) {
  Publish({.asked = AskedSize(config().hypervisor, containers),
           .has = size_,
           .most = MostSize(config().hypervisor),
           .reason = std::move(reason)});
}

void Machine::Publish(SizeReport report) {
  if (size_report_ == report) return;
  if (const std::string shortage = DescribeShortage(report); !shortage.empty()) {
    log::Warn(shortage);
  } else if (!report.reason.empty()) {
    log::Info("the machine has fewer processors than the limits add up to",
              {{"reason", report.reason}});
  }
  LogIfFailed(SaveSizeReport(identity_.sandbox_id, report, records()));
  size_report_ = std::move(report);
}

}  // namespace kata::sandbox
