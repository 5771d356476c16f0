// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/pid_keeper.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "guest/agent/container/process_setup.h"
#include "guest/agent/container/spawn.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::guest {
namespace {

constexpr uid_t kNobody = 65534;

// An empty directory, on the agent's own file system.
constexpr const char* kEmpty = "/run/kata-containers/empty";

// Ends with its namespace only. Without memory of its own, the kernel has no reason to choose it.
[[noreturn]] void KeepNamespace() {
  ResetSignals();
  // The kernel takes the ends of children, its own and orphans, from who does not want them.
  ::signal(SIGCHLD, SIG_IGN);
  ::setsid();
  (void)sys::CloseAllBut({});
  ::prctl(PR_SET_NAME, "kata-pod");
  (void)sys::WriteControl("/proc/self/oom_score_adj", "-998");
  const bool locked =
      ::unshare(CLONE_NEWNET | CLONE_NEWIPC) == 0 && ::chroot(kEmpty) == 0 && ::chdir("/") == 0 &&
      ::setgroups(0, nullptr) == 0 && ::setresgid(kNobody, kNobody, kNobody) == 0 &&
      ::setresuid(kNobody, kNobody, kNobody) == 0 && ::prctl(PR_SET_DUMPABLE, 0) == 0 &&
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  if (!locked) ::_exit(1);
  for (;;) ::pause();
}

}  // namespace

Result<PidKeeper> PidKeeper::Start() {
  KATA_TRY(sys::MakeDirs(kEmpty, 0555));
  Spawned child = KATA_TRY_WITHIN("shared pid namespace", Spawn({.new_pid_namespace = true}));
  if (child.pid == 0) KeepNamespace();
  auto made = sys::Open(fmt::format("/proc/{}/ns/pid", child.pid), O_RDONLY);
  if (!made) {
    (void)sys::SignalPidFd(child.pidfd.get(), SIGKILL);
    return std::unexpected(std::move(made).error());
  }
  return PidKeeper(std::move(child.pidfd), *std::move(made));
}

PidKeeper& PidKeeper::operator=(PidKeeper&& other) noexcept {
  std::swap(process_, other.process_);
  std::swap(namespace_, other.namespace_);
  return *this;
}

PidKeeper::~PidKeeper() {
  if (process_) (void)sys::SignalPidFd(process_.get(), SIGKILL);
}

bool PidKeeper::alive() const {
  pollfd wait{.fd = process_.get(), .events = POLLIN, .revents = 0};
  return sys::RetryOnEintr([&] { return ::poll(&wait, 1, 0); }) == 0;
}

}  // namespace kata::guest
