// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/user_namespace.h"

#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include <algorithm>

#include "oci/id_map.h"

namespace kata::guest {

Result<UserNamespace> MakeUserNamespace(const oci::Linux& spec) {
  UserNamespace user;
  if (std::ranges::none_of(spec.namespaces(), [](const oci::LinuxNamespace& wanted) {
        return wanted.type() == "user";
      })) {
    return user;
  }
  if (spec.uid_mappings().empty() || spec.gid_mappings().empty()) {
    return Fail(Code::kInvalidArgument,
                "a user namespace needs linux.uidMappings and linux.gidMappings");
  }
  user.uids = KATA_TRY_WITHIN("uidMappings", oci::ToIdMap(spec.uid_mappings()));
  user.gids = KATA_TRY_WITHIN("gidMappings", oci::ToIdMap(spec.gid_mappings()));
  user.fd = KATA_TRY(sys::MakeUserNamespace(user.uids, user.gids));
  return user;
}

Result<void> ActAsContainerRoot(const UserNamespace& user) {
  // Without this, the kernel takes the capabilities over files away with the change of id.
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0) {
    return FailErrno("keep capabilities");
  }
  ::setfsgid(user.gids.Outside(0));
  ::setfsuid(user.uids.Outside(0));
  return {};
}

Result<void> EnterUserNamespace(int fd, bool own_views) {
  if (::setns(fd, CLONE_NEWUSER) != 0) return FailErrno("join the user namespace");
  if (own_views && ::unshare(CLONE_NEWNS | CLONE_NEWCGROUP) != 0) {
    return FailErrno("make namespaces of the container's user");
  }
  return {};
}

}  // namespace kata::guest
