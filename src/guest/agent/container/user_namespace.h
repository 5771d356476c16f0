// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/user_namespace.h - containers whose ids are other ids outside.
//
// A container's file systems are made by the guest's root, who acts under the ids of the
// container's root (ActAsContainerRoot) so that what is made belongs to it. Only then does the
// child enter the user namespace. Mount and cgroup namespaces are made once more inside, so that
// they belong to the container; its ipc, uts and pid namespaces are those of the sandbox.
// Basis: user_namespaces(7); OCI runtime-spec config-linux.md "User namespace mappings".
#pragma once

#include "base/result.h"
#include "proto/oci.pb.h"
#include "sys/fd.h"
#include "sys/user_namespace.h"

namespace kata::guest {

// A container's user namespace; without `fd` it has none.
struct UserNamespace {
  sys::IdMap uids;
  sys::IdMap gids;
  sys::UniqueFd fd;

  bool valid() const { return fd.valid(); }
};

// The user namespace of `spec`, made, or none. Forks and reaps a child for a moment.
// Errors  kInvalidArgument  one without mappings, which nobody could use
Result<UserNamespace> MakeUserNamespace(const oci::Linux& spec);

// From here on what the caller makes in file systems belongs to the container's root, while all
// capabilities stay.
Result<void> ActAsContainerRoot(const UserNamespace& user);

// Joins. All capabilities inside, none outside any more.
// `own_views` makes the mount and cgroup namespaces anew, so that they belong to it.
Result<void> EnterUserNamespace(int fd, bool own_views);

}  // namespace kata::guest
