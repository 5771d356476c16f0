// SPDX-License-Identifier: Apache-2.0
#include "host/shim/daemon.h"

#include <malloc.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>

#include <google/protobuf/stubs/logging.h>

#include "base/log.h"
#include "host/machine/mount_namespace.h"
#include "host/shim/serving.h"
#include "host/shim/shim_log.h"
#include "sys/event_loop.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::shim {
namespace {

// A thread a call that runs; a stuck guest holds threads until its calls time out, and others must
// still find one.
constexpr size_t kMaxThreads = 64;
constexpr auto kFlushTime = std::chrono::seconds(5);

Result<void> Serve(const DaemonArgs& args) {
  KATA_TRY(EnterOwnMountNamespace());
  const auto loop = KATA_TRY(sys::EventLoop::Create());
  Daemon daemon(args, *loop, nullptr);
  KATA_TRY(daemon.Begin());
  RunToTheEnd(*loop);
}

}  // namespace

void PrepareProcess() {
  // A heap a thread would cost more memory than all else in this process.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 128 << 10);
  // A guest's strings need not be UTF-8; protobuf would complain on standard error.
  google::protobuf::SetLogHandler(nullptr);
  for (const int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP}) std::signal(signal, SIG_IGN);
}

Result<void> EnterOwnMountNamespace() {
  KATA_TRY(sandbox::RememberMountNamespace());
  if (::unshare(CLONE_NEWNS) != 0) return FailErrno("unshare mount namespace");
  return sys::SetPropagation("/", MS_SLAVE | MS_REC);
}

void RunToTheEnd(sys::EventLoop& loop) {
  const auto ended = loop.Run();
  LogIfFailed(ended);
  // Threads may still be inside calls whose answers nobody awaits; they are not waited for.
  ::_exit(ended ? 0 : 1);
}

Daemon::Daemon(const DaemonArgs& args, sys::EventLoop& loop,
               std::unique_ptr<sandbox::Machine> prepared)
    : args_(args),
      events_(loop, args),
      pool_(kMaxThreads),
      service_(
          args, loop, pool_, events_,
          [this, &loop] {
            events_.Flush(Deadline::After(kFlushTime));
            loop.Stop();
          },
          std::move(prepared)),
      server_(loop) {
  service_.Register(server_);
}

Result<void> Daemon::Begin() {
  KATA_TRY(server_.Listen(sys::UniqueFd(args_.listen_fd)));
  log::Info("shim serves", {{"socket", args_.socket_path}});
  return {};
}

void Daemon::OpenLog(const DaemonArgs& args) {
  static sys::UniqueFd open;
  auto log_fd = OpenShimLog(args.bundle);
  log::SetOutput(log_fd ? log_fd->get() : -1, kMaxLogFile);
  if (log_fd) open = *std::move(log_fd);
  if (args.debug) log::SetLevel(log::Level::kDebug);
  log::SetCommonFields({{"sandbox", args.id}, {"namespace", args.namespace_name}});
}

int RunDaemon(const DaemonArgs& args) {
  PrepareProcess();
  Daemon::OpenLog(args);
  LogIfFailed(Serve(args));
  LogIfFailed(sys::RemoveFile(args.socket_path));
  return 1;
}

}  // namespace kata::shim
