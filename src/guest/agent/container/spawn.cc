// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/spawn.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/files.h"

namespace kata::guest {

Result<Spawned> Spawn(const SpawnOptions& options) {
  sys::UniqueFd own_namespace;
  if (options.join_pid_namespace >= 0) {
    own_namespace = KATA_TRY(sys::Open("/proc/self/ns/pid", O_RDONLY));
    // Concerns only children made from now on.
    if (::setns(options.join_pid_namespace, CLONE_NEWPID) != 0) {
      return FailErrno("join the pid namespace");
    }
  }
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  if (options.new_pid_namespace) arguments.flags |= CLONE_NEWPID;
  if (options.cgroup_fd >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(options.cgroup_fd);
  }
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  const int clone_errno = errno;
  if (pid == 0) return Spawned{};
  if (own_namespace && ::setns(own_namespace.get(), CLONE_NEWPID) != 0) {
    // Every later child would be born in the container.
    const Error error = Error::FromErrno("return to the agent's pid namespace");
    if (pid > 0) ::kill(static_cast<pid_t>(pid), SIGKILL);
    return std::unexpected(error);
  }
  if (pid < 0) return std::unexpected(Error::FromErrno("clone3", "", clone_errno));
  return Spawned{static_cast<pid_t>(pid), sys::UniqueFd(pidfd)};
}

}  // namespace kata::guest
