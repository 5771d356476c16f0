// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/kvm_probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace kata::hypervisor {
namespace {

using Outcome = KvmProbeResult::Outcome;
using std::chrono::microseconds;
using std::chrono::steady_clock;

// Guest-physical layout of the 64 KiB that the guest has.
constexpr size_t kMemorySize = 64 << 10;
constexpr uint64_t kPml4 = 0x1000;
constexpr uint64_t kPdpt = 0x2000;
constexpr uint64_t kPageDirectory = 0x3000;
constexpr uint64_t kCode = 0x4000;
constexpr uint64_t kData = 0x8000;
constexpr uint8_t kDonePort = 0xf4;

// What the probing child tells: all that may be said without allocating.
struct Report {
  Outcome outcome = Outcome::kFailed;
  const char* step = "";  // a literal, the same in parent and child
  int error_number = 0;
  uint32_t exit_reason = 0;
  uint32_t suberror = 0;
  int64_t guest_microseconds = 0;
};

void WriteGuest(uint8_t* memory, uint32_t iterations, bool wide_exchange) {
  constexpr uint64_t kPresentWritable = 3;
  constexpr uint64_t kLargePage = 1 << 7;
  const auto put = [&](uint64_t address, uint64_t value) {
    std::memcpy(memory + address, &value, sizeof value);
  };
  put(kPml4, kPdpt | kPresentWritable);
  put(kPdpt, kPageDirectory | kPresentWritable);
  put(kPageDirectory, kLargePage | kPresentWritable);

  std::array<uint8_t, 64> code{};
  size_t size = 0;
  const auto emit = [&](std::initializer_list<uint8_t> bytes) {
    for (const uint8_t byte : bytes) code[size++] = byte;
  };
  emit({0xb9, 0, 0, 0, 0});  // mov ecx, iterations
  std::memcpy(&code[1], &iterations, sizeof iterations);
  const size_t loop = size;
  if (wide_exchange) emit({0x48, 0x0f, 0xc7, 0x0f});      // cmpxchg16b [rdi]
  emit({0x48, 0x83, 0xc0, 0x01});                         // add rax, 1
  emit({0x48, 0x31, 0xd8});                               // xor rax, rbx
  emit({0xff, 0xc9});                                     // dec ecx
  emit({0x75, static_cast<uint8_t>(loop - (size + 2))});  // jnz loop
  emit({0xe6, kDonePort});                                // out kDonePort, al
  emit({0xf4});                                           // hlt
  std::memcpy(memory + kCode, code.data(), size);
}

kvm_segment Segment(uint16_t selector, uint8_t type, bool code) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.l = code;
  segment.db = !code;
  segment.g = 1;
  return segment;
}

void SetLongMode(kvm_sregs& sregs) {
  constexpr uint64_t kCr0 = 0x80000031;  // PG, NE, ET, PE
  constexpr uint64_t kCr4 = 0x20;        // PAE
  constexpr uint64_t kEfer = 0x500;      // LMA, LME
  sregs.cr0 = kCr0;
  sregs.cr3 = kPml4;
  sregs.cr4 = kCr4;
  sregs.efer = kEfer;
  sregs.cs = Segment(0x08, 0xb, true);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = Segment(0x10, 0x3, false);
  sregs.tr = {};
  sregs.tr.limit = 0x67;
  sregs.tr.selector = 0x18;
  sregs.tr.type = 0xb;
  sregs.tr.present = 1;
  sregs.ldt = {};
  sregs.ldt.unusable = 1;
}

Report FailedStep(const char* step) { return {.step = step, .error_number = errno}; }

// The whole probe, in a child of a process that may have threads: system calls only. Nothing is
// released; the child's end does that.
Report Probe(uint32_t iterations, bool wide_exchange) {
  const int kvm = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) {
    Report report = FailedStep("open \"/dev/kvm\"");
    report.outcome = Outcome::kUnavailable;
    return report;
  }
  const int vm = ::ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) return FailedStep("KVM_CREATE_VM");
  void* const memory =
      ::mmap(nullptr, kMemorySize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return FailedStep("mmap");
  WriteGuest(static_cast<uint8_t*>(memory), iterations, wide_exchange);
  kvm_userspace_memory_region region{};
  region.memory_size = kMemorySize;
  region.userspace_addr = reinterpret_cast<uintptr_t>(memory);
  if (::ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return FailedStep("KVM_SET_USER_MEMORY_REGION");
  }
  const int vcpu = ::ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu < 0) return FailedStep("KVM_CREATE_VCPU");
  const int run_size = ::ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_size < static_cast<int>(sizeof(kvm_run))) return FailedStep("KVM_GET_VCPU_MMAP_SIZE");
  void* const run_page =
      ::mmap(nullptr, static_cast<size_t>(run_size), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run_page == MAP_FAILED) return FailedStep("mmap");
  kvm_sregs sregs{};
  if (::ioctl(vcpu, KVM_GET_SREGS, &sregs) != 0) return FailedStep("KVM_GET_SREGS");
  SetLongMode(sregs);
  if (::ioctl(vcpu, KVM_SET_SREGS, &sregs) != 0) return FailedStep("KVM_SET_SREGS");
  kvm_regs regs{};
  regs.rip = kCode;
  regs.rsp = kMemorySize - 16;
  regs.rdi = kData;
  regs.rflags = 2;
  if (::ioctl(vcpu, KVM_SET_REGS, &regs) != 0) return FailedStep("KVM_SET_REGS");

  const auto begin = steady_clock::now();
  int result = 0;
  do {
    result = ::ioctl(vcpu, KVM_RUN, 0);
  } while (result != 0 && (errno == EINTR || errno == EAGAIN));
  if (result != 0) return FailedStep("KVM_RUN");
  const auto* run = static_cast<const kvm_run*>(run_page);
  Report report{.step = "KVM_RUN", .exit_reason = run->exit_reason};
  report.guest_microseconds =
      std::chrono::duration_cast<microseconds>(steady_clock::now() - begin).count();
  if (run->exit_reason == KVM_EXIT_IO && run->io.port == kDonePort) {
    report.outcome = Outcome::kRan;
  } else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
    report.suberror = run->internal.suberror;
  }
  return report;
}

std::string Describe(const Report& report) {
  if (report.error_number != 0) {
    return fmt::format("{}: {}", report.step, ::strerrordesc_np(report.error_number));
  }
  if (report.outcome == Outcome::kRan) return {};
  if (report.exit_reason != KVM_EXIT_INTERNAL_ERROR) {
    return fmt::format("exit reason {}", report.exit_reason);
  }
  if (report.suberror == KVM_INTERNAL_ERROR_EMULATION) {
    return "it interprets guest code and met an instruction that it does not know";
  }
  return fmt::format("internal error {}", report.suberror);
}

}  // namespace

KvmProbeResult RunKvmProbe(uint32_t iterations, bool wide_exchange,
                           std::chrono::milliseconds limit) {
  const Deadline deadline = Deadline::After(limit);
  auto pipe = sys::MakePipe();
  if (!pipe) return {Outcome::kFailed, {}, pipe.error().message()};
  const pid_t child = ::fork();
  if (child < 0) return {Outcome::kFailed, {}, Error::FromErrno("fork").message()};
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int answer = pipe->write.get();
    (void)sys::CloseAllBut({&answer, 1});
    const Report report = Probe(iterations, wide_exchange);
    [[maybe_unused]] const ssize_t n = ::write(answer, &report, sizeof report);
    ::_exit(0);
  }
  pipe->write.Reset();
  Report report;
  const bool answered = sys::WaitFor(pipe->read.get(), POLLIN, deadline) &&
                        ::read(pipe->read.get(), &report, sizeof report) == sizeof report;
  const bool ended = !answered && deadline.Passed();
  ::kill(child, SIGKILL);
  sys::RetryOnEintr([&] { return ::waitpid(child, nullptr, 0); });
  if (answered) {
    return {report.outcome, microseconds(report.guest_microseconds), Describe(report)};
  }
  if (ended) return {Outcome::kTimedOut, limit, {}};
  return {Outcome::kFailed, {}, "the probe's process died"};
}

}  // namespace kata::hypervisor
