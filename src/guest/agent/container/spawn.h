// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/spawn.h - forking into namespaces and cgroups that are not the agent's.
//
// Basis: clone3(2), pid_namespaces(7), setns(2).
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::guest {

struct SpawnOptions {
  int cgroup_fd = -1;              // the child is born in this cgroup; -1: in the agent's
  bool new_pid_namespace = false;  // the child is its first process
  // A pidfd or a pid namespace's file: the child is born in that namespace. -1: in the agent's.
  int join_pid_namespace = -1;
};

struct Spawned {
  pid_t pid = 0;  // 0 in the child
  sys::UniqueFd pidfd;
};

// fork(2) with options. Returns twice. The caller must have one thread only; the child is its
// direct child whatever the namespace, so it can be waited for.
Result<Spawned> Spawn(const SpawnOptions& options);

}  // namespace kata::guest
