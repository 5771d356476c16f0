// SPDX-License-Identifier: Apache-2.0
#include "sys/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>

#include <fmt/format.h>

namespace kata::sys {
namespace {

// In the order of their numbers.
constexpr std::string_view kNames[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

bool KernelKnows(int capability) { return ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; }

}  // namespace

Result<int> ParseCapability(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<int>(i);
  }
  return Fail(Code::kInvalidArgument, fmt::format("unknown capability \"{}\"", name));
}

CapabilitySet KernelCapabilities() {
  CapabilitySet set = 0;
  for (int i = 0; i < 64 && KernelKnows(i); ++i) set |= CapabilitySet{1} << i;
  return set;
}

Result<void> LimitBoundingSet(CapabilitySet keep) {
  for (int i = 0; i < 64; ++i) {
    const int held = ::prctl(PR_CAPBSET_READ, i, 0, 0, 0);
    if (held < 0) break;
    if (held == 0 || (keep >> i & 1)) continue;
    if (::prctl(PR_CAPBSET_DROP, i, 0, 0, 0) != 0) return FailErrno("drop from the bounding set");
  }
  return {};
}

Result<void> UsePermittedCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2];
  if (::syscall(SYS_capget, &header, data) != 0) return FailErrno("capget");
  for (__user_cap_data_struct& half : data) half.effective = half.permitted;
  if (::syscall(SYS_capset, &header, data) != 0) return FailErrno("capset");
  return {};
}

Result<void> SetCapabilities(const CapabilitySets& sets) {
  const CapabilitySet known = KernelCapabilities();
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half) {
    const auto part = [&](CapabilitySet set) {
      return static_cast<uint32_t>((set & known) >> (32 * half));
    };
    data[half] = {.effective = part(sets.effective),
                  .permitted = part(sets.permitted),
                  .inheritable = part(sets.inheritable)};
  }
  if (::syscall(SYS_capset, &header, data) != 0) return FailErrno("capset");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return FailErrno("clear the ambient capabilities");
  }
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (!((sets.ambient & known) >> i & 1)) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) != 0) {
      return FailErrno("raise ambient capability", kNames[i]);
    }
  }
  return {};
}

}  // namespace kata::sys
