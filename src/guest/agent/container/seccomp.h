// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/seccomp.h - a specification's system call filter, as a program for the
// kernel.
//
// Compiled once a container by the agent, loaded by every child. What runc decides where the
// specification leaves room, this decides the same way:
//   - system calls that libseccomp does not know are left out
//   - a rule with the default's action is left out
//   - conditions on several arguments all count; two on one argument are two rules
//   - calls newer than any that the profile names fail with ENOSYS where the default refuses, so
//     that programs fall back to older calls
//   - without flags the filter does not ask for the speculation mitigation
// Basis: OCI runtime-spec config-linux.md "Seccomp"; seccomp(2), seccomp_rule_add(3).
#pragma once

#include <linux/filter.h>

#include <vector>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::guest {

struct SeccompFilter {
  std::vector<sock_filter> program;  // not empty
  unsigned flags = 0;                // SECCOMP_FILTER_FLAG_*
};

// Errors  kInvalidArgument  unknown action, architecture, operator or flag; a program that is too
//                           long for the kernel
//         kUnimplemented    SCMP_ACT_NOTIFY
Result<SeccompFilter> CompileSeccomp(const oci::LinuxSeccomp& seccomp);

// For the calling thread and what it executes. Needs no_new_privs or CAP_SYS_ADMIN.
Result<void> LoadSeccomp(const SeccompFilter& filter);

}  // namespace kata::guest
