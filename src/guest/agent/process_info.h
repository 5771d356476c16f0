// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/process_info.h - a process as ps(1) would show it.
#pragma once

#include <sys/types.h>

#include "proto/guest.pb.h"

namespace kata::guest {

// Fills in what /proc/<pid> tells; a process that has ended keeps the fields' defaults. The command
// line is cut at 1024 bytes and has spaces between its words, and is the kernel's name for the
// process in brackets when it has none.
void FillProcessInfo(pid_t pid, GuestProcess& process);

// Fills in the files of /proc/<pid> as they are.
void FillFiles(pid_t pid, GuestProcess& process);

}  // namespace kata::guest
