// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/process_setup.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "guest/agent/container/lookup.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

// The container's user must be able to open /dev/stdout and the like again.
void GiveStreams(uid_t uid) {
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0 || status.st_uid == uid || sys::IsNullDevice(fd)) continue;
    // Streams that belong to nobody's file system (sockets) refuse; they work all the same.
    if (::fchown(fd, uid, status.st_gid) != 0) continue;
  }
}

Result<void> ChangeDir(const std::string& cwd) {
  if (::chdir(cwd.c_str()) != 0) return std::unexpected(CwdError(cwd, errno));
  return {};
}

Result<void> SetLimits(const std::vector<PlannedLimit>& limits) {
  for (const PlannedLimit& limit : limits) {
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &limit.limit) != 0) {
      return FailErrno(fmt::format("set resource limit {}", limit.resource));
    }
  }
  return {};
}

// A working directory outside of the root would be a way out of it.
Result<void> CheckDirInside() {
  char name[PATH_MAX];
  if (::getcwd(name, sizeof name) == nullptr) {
    if (errno == ENOENT) return {};  // removed meanwhile
    return FailErrno("getcwd");
  }
  if (name[0] != '/') {
    return Fail(Code::kPermissionDenied,
                "the working directory is outside of the container's root");
  }
  return {};
}

}  // namespace

void ResetSignals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal <= SIGRTMAX; ++signal) (void)::sigaction(signal, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<void> ArrangeDescriptors(const ProcessStdio& stdio, std::vector<int> keep) {
  const sys::UniqueFd null = KATA_TRY(sys::Open("/dev/null", O_RDWR));
  const int streams[3] = {stdio.in.get(), stdio.out.get(), stdio.err.get()};
  // First above 2, so that no stream overwrites another before that has been used.
  sys::UniqueFd copies[3];
  for (int i = 0; i < 3; ++i) {
    copies[i].Reset(::fcntl(streams[i] >= 0 ? streams[i] : null.get(), F_DUPFD_CLOEXEC, 3));
    if (!copies[i]) return FailErrno("dup");
  }
  for (int i = 0; i < 3; ++i) {
    if (::dup2(copies[i].get(), i) < 0) return FailErrno("dup2");
  }
  for (sys::UniqueFd& copy : copies) (void)copy.Release();  // closed below
  std::ranges::sort(keep);
  return sys::CloseAllBut(keep);
}

void ReopenNull() {
  sys::UniqueFd null(::open("/dev/null", O_RDWR | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC));
  if (!null || !sys::IsNullDevice(null.get())) return;
  for (int fd = 0; fd <= 2; ++fd) {
    if (sys::IsNullDevice(fd)) (void)::dup2(null.get(), fd);
  }
}

Result<void> ApplyBeforeRoot(const ProcessPlan& plan) {
  KATA_TRY(ApplyScheduling(plan.scheduling));
  return sys::WriteControl("/proc/self/oom_score_adj", fmt::to_string(plan.oom_score_adj));
}

Result<void> ApplyInsideRoot(const ProcessPlan& plan, Confinement* confinement) {
  ::umask(plan.umask);
  GiveStreams(confinement->user.uids.Outside(plan.uid));
  // Root may enter directories that the user may not, and the other way round on file systems that
  // do not trust our root, so both try.
  const auto entered = ChangeDir(plan.cwd);
  if (!entered && entered.error().code() != Code::kPermissionDenied) return entered;

  // Late, so that limits which are too small for us are not too small for the container; before the
  // capability to raise them is gone.
  KATA_TRY(SetLimits(plan.limits));
  if (confinement->personality && ::personality(*confinement->personality) < 0) {
    return FailErrno("personality");
  }
  if (confinement->user.valid()) {
    KATA_TRY(EnterUserNamespace(confinement->user.fd.get(), confinement->own_views));
    confinement->user.fd.Reset();
  }
  KATA_TRY(sys::LimitBoundingSet(plan.capabilities.bounding));
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return FailErrno("keep capabilities");
  if (::setgroups(plan.groups.size(), plan.groups.data()) != 0) return FailErrno("setgroups");
  if (::setresgid(plan.gid, plan.gid, plan.gid) != 0) {
    return FailErrno("setgid", fmt::to_string(plan.gid));
  }
  if (::setresuid(plan.uid, plan.uid, plan.uid) != 0) {
    return FailErrno("setuid", fmt::to_string(plan.uid));
  }
  if (!entered) KATA_TRY(ChangeDir(plan.cwd));
  KATA_TRY(CheckDirInside());
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return FailErrno("drop capabilities");
  if (confinement->seccomp && !plan.no_new_privileges) {
    // The change of user took what the filter needs out of the effective set.
    KATA_TRY(sys::UsePermittedCapabilities());
    KATA_TRY(LoadSeccomp(*confinement->seccomp));
  }
  KATA_TRY(sys::SetCapabilities(plan.capabilities));
  if (plan.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return FailErrno("no_new_privs");
  }
  return {};
}

Result<std::string> PrepareExec(ProcessPlan* plan) {
  const char* const home = FindEnv(plan->env, "HOME");
  if (home == nullptr || *home == '\0') {
    std::erase(plan->env, "HOME=");
    plan->env.push_back("HOME=" + FindHome(plan->uid));
  }
  return FindExecutable(plan->args[0], FindEnv(plan->env, "PATH"));
}

Result<void> ApplyLast(const ProcessPlan& plan, const Confinement& confinement) {
  if (!confinement.seccomp || !plan.no_new_privileges) return {};
  return LoadSeccomp(*confinement.seccomp);
}

Error Execute(const std::string& path, const ProcessPlan& plan) {
  const auto pointers = [](const std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
    result.push_back(nullptr);
    return result;
  };
  ::execve(path.c_str(), pointers(plan.args).data(), pointers(plan.env).data());
  return ExecError(path, errno);
}

}  // namespace kata::guest
