// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/seccomp_stub.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <cerrno>
#include <cstddef>
#include <optional>

namespace kata::guest {
namespace {

// x32 shares x86_64's architecture number and sets this bit in its call numbers.
constexpr uint32_t kX32Bit = 0x40000000;

sock_filter Load(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}

sock_filter Jump(uint16_t test, uint32_t value, uint8_t when_true, uint8_t when_false) {
  return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | test | BPF_K), value, when_true, when_false);
}

sock_filter NoSuchCall() {
  return BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (ENOSYS & SECCOMP_RET_DATA));
}

const NewestCall* Find(const std::vector<NewestCall>& newest, uint32_t architecture) {
  for (const NewestCall& call : newest) {
    if (call.architecture == architecture) return &call;
  }
  return nullptr;
}

}  // namespace

std::vector<sock_filter> PlanNewerCalls(const std::vector<NewestCall>& newest) {
  std::vector<sock_filter> program;
  const auto add = [&program](std::initializer_list<sock_filter> block) {
    program.insert(program.end(), block);
  };
  for (const NewestCall& call : newest) {
    if (call.architecture == SCMP_ARCH_X32) continue;  // with x86_64
    add({Load(offsetof(seccomp_data, arch))});
    if (call.architecture != SCMP_ARCH_X86_64) {
      add({Jump(BPF_JEQ, call.architecture, 0, 3), Load(offsetof(seccomp_data, nr)),
           Jump(BPF_JGT, call.number, 0, 1), NoSuchCall()});
      continue;
    }
    const NewestCall* const x32 = Find(newest, SCMP_ARCH_X32);
    add({Jump(BPF_JEQ, call.architecture, 0, 6), Load(offsetof(seccomp_data, nr)),
         Jump(BPF_JGE, kX32Bit, 2, 0), Jump(BPF_JGT, call.number, 0, 3), NoSuchCall(),
         // A filter without x32 has an answer to all of its calls.
         Jump(BPF_JGT, x32 == nullptr ? UINT32_MAX : x32->number | kX32Bit, 0, 1), NoSuchCall()});
  }
  return program;
}

}  // namespace kata::guest
