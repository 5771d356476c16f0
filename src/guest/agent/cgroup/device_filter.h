// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/cgroup/device_filter.h - the devices that a cgroup may use, as a BPF program.
//
// Making the program is pure; the kernel runs it at each open and mknod of a device node.
// Basis: OCI runtime-spec config-linux.md "Allowed Device list"; BPF_PROG_TYPE_CGROUP_DEVICE.
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "base/result.h"
#include "proto/oci.pb.h"
#include "sys/fd.h"

namespace kata::guest {

using DeviceRules = google::protobuf::RepeatedPtrField<oci::LinuxDeviceCgroup>;

// What every container may do, as runc has it: make any node; use null, zero, full, random,
// urandom, tty, ptmx and pseudo terminals.
const DeviceRules& DefaultDeviceRules();

// The program for `rules` followed by DefaultDeviceRules(). The last rule that speaks of an access
// decides; without one the access is denied. An allowing rule must cover all of an access, a
// denying one any part of it.
// Errors  kInvalidArgument  type other than a, b, c; access other than r, w, m; numbers below -1
//         kOutOfRange       more than 1024 rules
Result<std::vector<bpf_insn>> MakeDeviceFilter(const DeviceRules& rules);

// Loads `program` and attaches it to the cgroup whose directory is `cgroup_fd`; takes `previous`
// off again where valid. The program lives as long as the cgroup, whatever happens to the returned
// descriptor.
Result<sys::UniqueFd> AttachDeviceFilter(int cgroup_fd, const std::vector<bpf_insn>& program,
                                         const sys::UniqueFd& previous);

}  // namespace kata::guest
