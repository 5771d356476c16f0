// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/scheduling.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string_view>

#include <fmt/format.h>

#include "guest/agent/cgroup/cpu_list.h"

namespace kata::guest {
namespace {

// Numbers of ioprio_set(2). Debian's <linux/ioprio.h> of 6.1.192 cannot be read by a C++ compiler:
// a parameter of an inline function there is called class.
constexpr unsigned kIoClassRealTime = 1;
constexpr unsigned kIoClassBestEffort = 2;
constexpr unsigned kIoClassIdle = 3;
constexpr unsigned kIoClassShift = 13;
constexpr int kIoPriorityOfProcess = 1;

struct Word {
  std::string_view word;
  unsigned value;
};

constexpr Word kPolicies[] = {
    {"SCHED_OTHER", SCHED_NORMAL},
    {"SCHED_FIFO", SCHED_FIFO},
    {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH},
    {"SCHED_IDLE", SCHED_IDLE},
    {"SCHED_DEADLINE", SCHED_DEADLINE},
    // Reserved by the kernel and never made: it refuses the number.
    {"SCHED_ISO", 4},
};

constexpr Word kFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
    {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
    {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
    {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
    {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
    {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
};

constexpr Word kIoClasses[] = {
    {"IOPRIO_CLASS_RT", kIoClassRealTime},
    {"IOPRIO_CLASS_BE", kIoClassBestEffort},
    {"IOPRIO_CLASS_IDLE", kIoClassIdle},
};

template <size_t kSize>
Result<unsigned> Find(const Word (&words)[kSize], std::string_view what, std::string_view word) {
  for (const Word& entry : words) {
    if (entry.word == word) return entry.value;
  }
  return Fail(Code::kInvalidArgument,
              fmt::format("process: {} \"{}\" is not known", what, word.substr(0, 60)));
}

Result<SchedulerAttributes> PlanScheduler(const oci::Scheduler& scheduler) {
  SchedulerAttributes attributes{
      .size = sizeof(SchedulerAttributes),
      .policy = KATA_TRY(Find(kPolicies, "scheduler policy", scheduler.policy())),
      .flags = 0,
      .nice = scheduler.nice(),
      .priority = static_cast<uint32_t>(scheduler.priority()),
      .runtime = scheduler.runtime(),
      .deadline = scheduler.deadline(),
      .period = scheduler.period()};
  for (const std::string& flag : scheduler.flags()) {
    attributes.flags |= KATA_TRY(Find(kFlags, "scheduler flag", flag));
  }
  return attributes;
}

}  // namespace

Result<SchedulingPlan> PlanScheduling(const oci::Process& process) {
  SchedulingPlan plan;
  if (process.has_scheduler()) plan.scheduler = KATA_TRY(PlanScheduler(process.scheduler()));
  if (process.has_io_priority()) {
    const oci::IoPriority& given = process.io_priority();
    if (given.priority() < 0 || given.priority() > 7) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("process: ioPriority {} is outside 0 to 7", given.priority()));
    }
    const unsigned kind = KATA_TRY(Find(kIoClasses, "I/O class", given.class_()));
    plan.io_priority = static_cast<int>(kind << kIoClassShift) | given.priority();
  }
  // The child is born in its cgroup, so only what holds there counts.
  const oci::CpuAffinity& affinity = process.exec_cpu_affinity();
  const std::string& list = affinity.final().empty() ? affinity.initial() : affinity.final();
  if (!list.empty()) {
    plan.cpus = FitCpus(KATA_TRY_WITHIN("execCPUAffinity", ParseCpuList(list)), AvailableCpus());
  }
  return plan;
}

Result<void> ApplyScheduling(const SchedulingPlan& plan) {
  if (plan.scheduler && ::syscall(SYS_sched_setattr, 0, &*plan.scheduler, 0U) != 0) {
    return FailErrno("set the scheduler");
  }
  if (plan.io_priority &&
      ::syscall(SYS_ioprio_set, kIoPriorityOfProcess, 0, *plan.io_priority) != 0) {
    return FailErrno("set the I/O priority");
  }
  if (plan.cpus.empty()) return {};
  const int count = plan.cpus.back() + 1;
  cpu_set_t* const set = CPU_ALLOC(count);
  const size_t size = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(size, set);
  for (const int cpu : plan.cpus) CPU_SET_S(cpu, size, set);
  const int result = ::sched_setaffinity(0, size, set);
  const int cause = errno;
  CPU_FREE(set);
  if (result != 0) return std::unexpected(Error::FromErrno("set the CPU affinity", "", cause));
  return {};
}

}  // namespace kata::guest
