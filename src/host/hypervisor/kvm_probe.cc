// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/kvm_probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"
#include "sys/file.h"

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
constexpr uint16_t kDonePort = 0xf4;

// Sent to the probe's own thread to end KVM_RUN; blocked there outside of it.
constexpr int kStopSignal = SIGUSR1;

class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (address_ != MAP_FAILED) ::munmap(address_, size_);
  }
  bool Map(size_t size, int flags, int fd) {
    size_ = size;
    address_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    return address_ != MAP_FAILED;
  }
  uint8_t* bytes() const { return static_cast<uint8_t*>(address_); }

 private:
  void* address_ = MAP_FAILED;
  size_t size_ = 0;
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

  std::vector<uint8_t> code = {0xb9, 0, 0, 0, 0};  // mov ecx, iterations
  std::memcpy(&code[1], &iterations, sizeof iterations);
  const size_t loop = code.size();
  const auto emit = [&](std::initializer_list<uint8_t> bytes) { code.insert(code.end(), bytes); };
  if (wide_exchange) emit({0x48, 0x0f, 0xc7, 0x0f});             // cmpxchg16b [rdi]
  emit({0x48, 0x83, 0xc0, 0x01});                                // add rax, 1
  emit({0x48, 0x31, 0xd8});                                      // xor rax, rbx
  emit({0xff, 0xc9});                                            // dec ecx
  emit({0x75, static_cast<uint8_t>(loop - (code.size() + 2))});  // jnz loop
  emit({0xe6, kDonePort});                                       // out kDonePort, al
  emit({0xf4});                                                  // hlt
  std::memcpy(memory + kCode, code.data(), code.size());
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

// Everything one probe needs, made and used on the probe's thread.
class ProbeVm {
 public:
  Result<void> Create(uint32_t iterations, bool wide_exchange) {
    kvm_ = KATA_TRY(sys::Open("/dev/kvm", O_RDWR));
    if (::ioctl(kvm_.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
      return Fail(Code::kUnimplemented, "KVM has another API version");
    }
    vm_.Reset(::ioctl(kvm_.get(), KVM_CREATE_VM, 0));
    if (!vm_) return FailErrno("KVM_CREATE_VM");
    if (!memory_.Map(kMemorySize, MAP_PRIVATE | MAP_ANONYMOUS, -1)) return FailErrno("mmap");
    WriteGuest(memory_.bytes(), iterations, wide_exchange);
    kvm_userspace_memory_region region{};
    region.memory_size = kMemorySize;
    region.userspace_addr = reinterpret_cast<uintptr_t>(memory_.bytes());
    if (::ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
      return FailErrno("KVM_SET_USER_MEMORY_REGION");
    }
    vcpu_.Reset(::ioctl(vm_.get(), KVM_CREATE_VCPU, 0));
    if (!vcpu_) return FailErrno("KVM_CREATE_VCPU");
    const int run_size = ::ioctl(kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < static_cast<int>(sizeof(kvm_run)) ||
        !run_.Map(static_cast<size_t>(run_size), MAP_SHARED, vcpu_.get())) {
      return FailErrno("KVM_GET_VCPU_MMAP_SIZE");
    }
    kvm_sregs sregs{};
    if (::ioctl(vcpu_.get(), KVM_GET_SREGS, &sregs) != 0) return FailErrno("KVM_GET_SREGS");
    SetLongMode(sregs);
    if (::ioctl(vcpu_.get(), KVM_SET_SREGS, &sregs) != 0) return FailErrno("KVM_SET_SREGS");
    kvm_regs regs{};
    regs.rip = kCode;
    regs.rsp = kMemorySize - 16;
    regs.rdi = kData;
    regs.rflags = 2;
    if (::ioctl(vcpu_.get(), KVM_SET_REGS, &regs) != 0) return FailErrno("KVM_SET_REGS");
    return UnblockStopSignalInsideRun();
  }

  // True when the guest code has reached its end, false when the stop signal came first.
  Result<bool> Run() {
    kvm_run* run = reinterpret_cast<kvm_run*>(run_.bytes());
    for (;;) {
      if (::ioctl(vcpu_.get(), KVM_RUN, 0) != 0) {
        if (errno == EINTR) return false;
        if (errno == EAGAIN) continue;
        return FailErrno("KVM_RUN");
      }
      switch (run->exit_reason) {
        case KVM_EXIT_IO:
          if (run->io.port == kDonePort) return true;
          return Fail(Code::kInternal, "unexpected port access");
        case KVM_EXIT_INTERNAL_ERROR:
          return Fail(Code::kInternal,
                      run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
                          ? std::string("it interprets guest code and met an instruction that it "
                                        "does not know")
                          : fmt::format("internal error {}", run->internal.suberror));
        case KVM_EXIT_INTR:
          return false;
        default:
          return Fail(Code::kInternal, fmt::format("exit reason {}", run->exit_reason));
      }
    }
  }

 private:
  Result<void> UnblockStopSignalInsideRun() {
    const uint64_t blocked = ~(uint64_t{1} << (kStopSignal - 1));
    alignas(kvm_signal_mask) char buffer[sizeof(kvm_signal_mask) + sizeof blocked] = {};
    auto* mask = reinterpret_cast<kvm_signal_mask*>(buffer);
    mask->len = sizeof blocked;
    std::memcpy(mask->sigset, &blocked, sizeof blocked);
    if (::ioctl(vcpu_.get(), KVM_SET_SIGNAL_MASK, mask) != 0) {
      return FailErrno("KVM_SET_SIGNAL_MASK");
    }
    return {};
  }

  sys::UniqueFd kvm_;
  sys::UniqueFd vm_;
  Mapping memory_;
  sys::UniqueFd vcpu_;
  Mapping run_;
};

struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  steady_clock::time_point guest_began{};
  KvmProbeResult result;
};

KvmProbeResult ProbeOnThisThread(Shared& shared, uint32_t iterations, bool wide_exchange) {
  KvmProbeResult result;
  ProbeVm vm;
  if (auto created = vm.Create(iterations, wide_exchange); !created) {
    const Code code = created.error().code();
    const bool device = created.error().message().starts_with("open");
    result.outcome = device && (code == Code::kNotFound || code == Code::kPermissionDenied)
                         ? Outcome::kUnavailable
                         : Outcome::kFailed;
    result.detail = created.error().message();
    return result;
  }
  const auto begin = steady_clock::now();
  {
    const std::lock_guard lock(shared.mutex);
    shared.guest_began = begin;
  }
  const Result<bool> ran = vm.Run();
  result.guest_time = std::chrono::duration_cast<microseconds>(steady_clock::now() - begin);
  if (!ran) {
    result.outcome = Outcome::kFailed;
    result.detail = ran.error().message();
  } else {
    result.outcome = *ran ? Outcome::kRan : Outcome::kTimedOut;
  }
  return result;
}

}  // namespace

KvmProbeResult RunKvmProbe(uint32_t iterations, bool wide_exchange,
                           std::chrono::milliseconds limit) {
  // Shared with the thread, which may outlive this call if the kernel does not let go of it.
  const auto shared = std::make_shared<Shared>();
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([shared, iterations, wide_exchange] {
    KvmProbeResult result = ProbeOnThisThread(*shared, iterations, wide_exchange);
    const std::lock_guard lock(shared->mutex);
    shared->result = std::move(result);
    shared->done = true;
    shared->changed.notify_all();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);

  std::unique_lock lock(shared->mutex);
  const auto done = [&] { return shared->done; };
  if (!shared->changed.wait_for(lock, limit, done)) {
    ::pthread_kill(thread.native_handle(), kStopSignal);
    shared->changed.wait_for(lock, limit / 10, done);
  }
  if (!shared->done) {
    thread.detach();
    return {Outcome::kTimedOut, limit, "the kernel does not return from it"};
  }
  lock.unlock();
  thread.join();
  return shared->result;
}

}  // namespace kata::hypervisor
