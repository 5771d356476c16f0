// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "guest/agent/cgroup/cgroup_dir.h"
#include "guest/agent/container/process_setup.h"
#include "guest/agent/container/report.h"
#include "guest/agent/container/rootfs.h"
#include "guest/agent/container/shared_sources.h"
#include "guest/agent/container/start_hooks.h"
#include "guest/agent/container/sysctls.h"
#include "guest/agent/container/terminal.h"
#include "sys/files.h"
#include "sys/root_dir.h"

namespace kata::guest {
namespace {

Result<void> Join(int fd, int kind, std::string_view what) {
  if (::setns(fd, kind) != 0) return FailErrno(fmt::format("join the {} namespace", what));
  return {};
}

Result<void> EnterNamespaces(const ContainerSpec& spec) {
  int fresh = CLONE_NEWNS | CLONE_NEWCGROUP;
  if (spec.shared.ipc >= 0) {
    KATA_TRY(Join(spec.shared.ipc, CLONE_NEWIPC, "ipc"));
  } else {
    fresh |= CLONE_NEWIPC;
  }
  if (spec.shared.uts >= 0) {
    KATA_TRY(Join(spec.shared.uts, CLONE_NEWUTS, "uts"));
  } else {
    fresh |= CLONE_NEWUTS;
  }
  if (spec.shared.net >= 0) KATA_TRY(Join(spec.shared.net, CLONE_NEWNET, "network"));
  for (const oci::LinuxNamespace& wanted : spec.oci.linux().namespaces()) {
    if (wanted.type() != "network" || wanted.path().empty()) continue;
    const sys::UniqueFd fd = KATA_TRY(sys::Open(wanted.path(), O_RDONLY));
    KATA_TRY(Join(fd.get(), CLONE_NEWNET, "network"));
  }
  // The cgroup namespace begins where the process is, which is the container's cgroup already.
  if (::unshare(fresh) != 0) return FailErrno("make namespaces");
  return {};
}

bool HasNamespace(const oci::Spec& spec, std::string_view type) {
  return std::ranges::any_of(spec.linux().namespaces(),
                             [&](const auto& wanted) { return wanted.type() == type; });
}

// A new time namespace is entered by a process's children, unless it joins.
Result<void> EnterTimeNamespace(const oci::Linux& linux_part) {
  if (::unshare(CLONE_NEWTIME) != 0) return FailErrno("make a time namespace");
  for (const auto& [clock, offset] : linux_part.time_offsets()) {
    KATA_TRY_WITHIN("timeOffsets", sys::WriteControl("/proc/self/timens_offsets",
                                                     fmt::format("{} {} {}\n", clock, offset.secs(),
                                                                 offset.nanosecs())));
  }
  const sys::UniqueFd fd = KATA_TRY(sys::Open("/proc/self/ns/time_for_children", O_RDONLY));
  return Join(fd.get(), CLONE_NEWTIME, "time");
}

Result<void> SetNames(const oci::Spec& spec) {
  if (!spec.hostname().empty() &&
      ::sethostname(spec.hostname().data(), spec.hostname().size()) != 0) {
    return FailErrno("set hostname", spec.hostname());
  }
  if (!spec.domainname().empty() &&
      ::setdomainname(spec.domainname().data(), spec.domainname().size()) != 0) {
    return FailErrno("set domainname", spec.domainname());
  }
  return {};
}

Result<void> SetSysctls(const oci::Linux& linux_part) {
  for (const auto& [key, value] : linux_part.sysctl()) {
    KATA_TRY(SetSysctl(key, value));
  }
  return {};
}

// Makes the slave all three streams; what remains open of the terminal is the master.
Result<void> UseTerminal(Terminal* terminal) {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::dup2(terminal->slave.get(), fd) < 0) return FailErrno("dup2");
  }
  terminal->slave.Reset();
  return {};
}

// Common to both children, inside the container's root. Ends with the message that all is ready.
Result<std::string> Finish(ProcessPlan* process, Confinement* confinement, Terminal* terminal,
                           int report) {
  const bool has_terminal = terminal->master.valid();
  if (has_terminal) KATA_TRY(TakeTerminal(STDIN_FILENO));
  KATA_TRY(ApplyInsideRoot(*process, confinement));
  std::string path = KATA_TRY(PrepareExec(process));
  KATA_TRY(ReportReady(report, terminal->master.get()));
  terminal->master.Reset();
  return path;
}

Result<std::string> SetUpInit(InitContext* context) {
  const ContainerSpec& spec = context->spec;
  EnterSources(context->mounts);
  KATA_TRY(EnterNamespaces(spec));
  const std::string cgroup = sys::CleanPath(spec.oci.process().cgroup()).substr(1);
  if (!cgroup.empty()) KATA_TRY_WITHIN("cgroup", EnterCgroupBelow(context->cgroup, cgroup));
  if (HasNamespace(spec.oci, "time")) KATA_TRY(EnterTimeNamespace(spec.oci.linux()));
  const UserNamespace& user = context->confinement.user;
  KATA_TRY(ArrangeDescriptors(context->stdio, {context->report, context->start, user.fd.get()}));
  KATA_TRY(ApplyBeforeRoot(context->process));
  if (user.valid()) KATA_TRY(ActAsContainerRoot(user));

  const std::string& propagation = spec.oci.linux().rootfs_propagation();
  const sys::RootDir root = KATA_TRY(OpenRoot(spec.oci.root().path(), propagation));
  KATA_TRY(ApplyMounts(root, context->mounts, user));
  if (NeedsDevices(context->mounts)) KATA_TRY(MakeDevices(root, spec.oci, user));
  Terminal terminal;
  if (context->stdio.terminal) {
    terminal = KATA_TRY(OpenTerminal(root, context->process.terminal_mode));
    KATA_TRY(BindConsole(root, terminal));
    KATA_TRY(UseTerminal(&terminal));
  }
  KATA_TRY_WITHIN("cwd", root.MakeDirs(context->process.cwd));
  KATA_TRY(FinishDev(root, context->mounts));
  KATA_TRY(SetNames(spec.oci));
  KATA_TRY(SetSysctls(spec.oci.linux()));
  KATA_TRY(ProtectPaths(root, spec.oci.linux()));
  KATA_TRY(EnterRoot(root, propagation, spec.oci.root().readonly()));
  ReopenNull();
  return Finish(&context->process, &context->confinement, &terminal, context->report);
}

Result<std::string> SetUpExec(ExecContext* context) {
  const UserNamespace& user = context->confinement.user;
  KATA_TRY(
      ArrangeDescriptors(context->stdio, {context->report, context->init_pidfd, user.fd.get()}));
  KATA_TRY(ApplyBeforeRoot(context->process));
  // One call, so that either all of them are joined or none. The user namespace comes last of all.
  int namespaces = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWNS;
  if (context->time_namespace) namespaces |= CLONE_NEWTIME;
  KATA_TRY(Join(context->init_pidfd, namespaces, "container's"));
  ::close(context->init_pidfd);
  if (user.valid()) KATA_TRY(ActAsContainerRoot(user));
  ReopenNull();
  Terminal terminal;
  if (context->stdio.terminal) {
    const sys::RootDir root(KATA_TRY(sys::Open("/", O_PATH | O_DIRECTORY)));
    terminal = KATA_TRY(OpenTerminal(root, context->process.terminal_mode));
    KATA_TRY(UseTerminal(&terminal));
  }
  return Finish(&context->process, &context->confinement, &terminal, context->report);
}

[[noreturn]] void Die(int report, const Error& error) {
  ReportFailure(report, error);
  ::_exit(127);
}

// The caller knows of the start already, so the words go where the program's would have, and the
// status is runc's.
[[noreturn]] void DieOfExec(const Error& error) {
  (void)sys::WriteAll(STDERR_FILENO, error.message() + "\n");
  ::_exit(1);
}

// What waits for its start ends by these, as runc's does, also as the first process of a namespace,
// which the kernel spares signals that have no handler.
void EndBySignals() {
  struct sigaction action{};
  action.sa_handler = [](int signal) { ::_exit(128 + signal); };
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) {
    (void)::sigaction(signal, &action, nullptr);
  }
}

void BeginChild() {
  ResetSignals();
  ::setsid();
  ::umask(0022);
}

}  // namespace

void RunInitChild(InitContext context) {
  BeginChild();
  EndBySignals();
  const auto path = SetUpInit(&context);
  if (!path) Die(context.report, path.error());
  char go = 0;
  if (sys::RetryOnEintr([&] { return ::read(context.start, &go, 1); }) != 1) ::_exit(0);
  ::close(context.start);
  ResetSignals();
  auto last = ApplyLast(context.process, context.confinement);
  if (last) last = RunStartHooks(context.spec.id, context.spec.oci, context.process.env);
  if (!last) Die(context.report, last.error());
  DieOfExec(Execute(*path, context.process));
}

void RunExecChild(ExecContext context) {
  BeginChild();
  const auto path = SetUpExec(&context);
  if (!path) Die(context.report, path.error());
  if (auto last = ApplyLast(context.process, context.confinement); !last) {
    Die(context.report, last.error());
  }
  DieOfExec(Execute(*path, context.process));
}

}  // namespace kata::guest
