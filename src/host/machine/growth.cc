// SPDX-License-Identifier: Apache-2.0
#include "host/machine/growth.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/guest_kernel.h"

namespace kata::sandbox {
namespace {

constexpr auto kResizeTimeout = std::chrono::seconds(20);
constexpr char kBusy[] = "the guest does not come to an end with what it was given before";

}  // namespace

Result<void> CheckCpuHotplug(const config::Config& config, hypervisor::AcceleratorKind accelerator,
                             uint32_t has, uint32_t wanted) {
  if (wanted <= has || accelerator != hypervisor::AcceleratorKind::kTcg) return {};
  const auto kernel = config::DescribeKernel(config.hypervisor.kernel);
  if (!kernel || !kernel->Lacks(config::kLacksEmulatedCpuHotplug)) return {};
  return Fail(
      Code::kFailedPrecondition,
      fmt::format("the guest's kernel {} takes no more than its {} processors while it runs "
                  "without KVM: start the first container with what all need, or use "
                  "kata-cpp's own kernel (docs/guest-kernel.md)",
                  kernel->release, has));
}

Growth::Growth(const StartedGuest& guest, std::shared_ptr<const config::Config> config,
               std::string sandbox_id, std::string records)
    : vm_(guest.processes->vm()),
      agent_(guest.processes->agent()),
      accelerator_(guest.accelerator),
      boot_mib_(guest.began_with.memory_mib),
      config_(std::move(config)),
      sandbox_id_(std::move(sandbox_id)),
      records_(std::move(records)),
      size_(guest.has) {}

// As long as one growth may take, most of which is the guest's.
Deadline Growth::Turn() const {
  return Deadline::After(kResizeTimeout +
                         std::chrono::milliseconds(config_->agent.request_timeout_ms));
}

void Growth::Grow(const MachineSize& containers) {
  if (!growing_.Begin(Turn())) {
    const MutexLock lock(mutex_);
    return Publish(Describe(containers, kBusy));
  }
  const CallTurn turn(growing_);
  GrowFor(containers);
}

Result<void> Growth::GrowOrRefuse(const MachineSize& containers) {
  if (!growing_.Begin(Turn())) return Fail(Code::kDeadlineExceeded, kBusy);
  const CallTurn turn(growing_);
  SizeReport before;
  {
    const MutexLock lock(mutex_);
    before = report_.value_or(SizeReport());
  }
  // Nothing is added in vain where the configuration says already that it is not enough.
  KATA_TRY(CheckGrowth(before, {.asked = AskedSize(config_->hypervisor, containers),
                                .has = TotalSize(config_->hypervisor, containers),
                                .most = MostSize(config_->hypervisor),
                                .reason = ""}));
  GrowFor(containers);
  const MutexLock lock(mutex_);
  auto grown = CheckGrowth(before, *report_);
  if (!grown) {
    before.has = size_;
    Publish(std::move(before));
  }
  return grown;
}

void Growth::GrowFor(const MachineSize& containers) {
  MachineSize wanted = TotalSize(config_->hypervisor, containers);
  MachineSize has;
  {
    const MutexLock lock(mutex_);
    has = size_;
  }
  std::string reason;
  if (const auto grows = CheckCpuHotplug(*config_, accelerator_, has.vcpus, wanted.vcpus); !grows) {
    reason = grows.error().message();
    wanted.vcpus = has.vcpus;
  }
  if (wanted.vcpus > has.vcpus || wanted.memory_mib > has.memory_mib) {
    const std::string shortfall = GrowTo(wanted);
    if (!reason.empty() && !shortfall.empty()) reason += "; ";
    reason += shortfall;
  }
  const MutexLock lock(mutex_);
  Publish(Describe(containers, std::move(reason)));
}

std::string Growth::GrowTo(const MachineSize& wanted) {
  const auto resized = vm_->Resize({.vcpus = wanted.vcpus, .memory_mib = wanted.memory_mib},
                                   Deadline::After(kResizeTimeout));
  if (!resized) return resized.error().message();
  const hypervisor::Resources& has = resized->now;
  // The machine's own was there from the beginning.
  const uint32_t plugged = has.memory_mib - std::min(boot_mib_, has.memory_mib);
  const auto online = agent_->OnlineCpusAndMemory(has.vcpus, plugged);
  if (!online) return online.error().message();
  {
    const MutexLock lock(mutex_);
    size_ = {.vcpus = online->vcpus, .memory_mib = boot_mib_ + online->plugged_mib};
  }
  if (online->plugged_mib >= plugged) return resized->shortfall;
  return fmt::format("of {} MiB that were added the guest has taken {} in use so far", plugged,
                     online->plugged_mib);
}

void Growth::Report(const MachineSize& containers) {
  const MutexLock lock(mutex_);
  if (report_) Publish(Describe(containers, report_->reason));
}

SizeReport Growth::Describe(const MachineSize& containers, std::string reason) const {
  return {.asked = AskedSize(config_->hypervisor, containers),
          .has = size_,
          .most = MostSize(config_->hypervisor),
          .reason = std::move(reason)};
}

void Growth::Publish(SizeReport report) {
  if (report_ == report) return;
  if (const std::string shortage = DescribeShortage(report); !shortage.empty()) {
    log::Warn(shortage);
  } else if (!report.reason.empty()) {
    log::Info("the machine has fewer processors than the limits add up to",
              {{"reason", report.reason}});
  }
  LogIfFailed(SaveSizeReport(sandbox_id_, report, records_));
  report_ = std::move(report);
}

}  // namespace kata::sandbox
