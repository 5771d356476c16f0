// SPDX-License-Identifier: Apache-2.0
#include "host/shim/daemon.h"

#include <malloc.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>

#include <google/protobuf/stubs/logging.h>

#include "base/log.h"
#include "host/sandbox/hooks.h"
#include "host/shim/events.h"
#include "host/shim/shim_log.h"
#include "host/shim/task_service.h"
#include "sys/event_loop.h"
#include "sys/file.h"
#include "sys/mounts.h"
#include "sys/worker_pool.h"
#include "ttrpc/server.h"

namespace kata::shim {
namespace {

// A thread a call that runs; a stuck guest holds threads until its calls time out, and others must
// still find one.
constexpr size_t kMaxThreads = 64;
constexpr auto kFlushTime = std::chrono::seconds(5);

void PrepareProcess() {
  // A heap a thread would cost more memory than all else in this process.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 128 << 10);
  // A guest's strings need not be UTF-8; protobuf would complain on standard error.
  google::protobuf::SetLogHandler(nullptr);
  for (const int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP}) std::signal(signal, SIG_IGN);
}

// Mounts made from here on are seen by this process and its children only, and are gone with them,
// however they end. What the host mounts later still arrives.
Result<void> LeaveMountNamespace() {
  if (::unshare(CLONE_NEWNS) != 0) return FailErrno("unshare mount namespace");
  return sys::SetPropagation("/", MS_SLAVE | MS_REC);
}

Result<void> Serve(const DaemonArgs& args) {
  KATA_TRY(sandbox::RememberMountNamespace());
  KATA_TRY(LeaveMountNamespace());
  const auto loop = KATA_TRY(sys::EventLoop::Create());
  EventPublisher events(*loop, args);
  sys::WorkerPool pool(kMaxThreads);
  TaskService service(args, *loop, pool, events, [&] {
    events.Flush(Deadline::After(kFlushTime));
    loop->Stop();
  });
  ttrpc::Server server(*loop);
  service.Register(server);
  KATA_TRY(server.Listen(sys::UniqueFd(args.listen_fd)));
  log::Info("shim serves", {{"socket", args.socket_path}});
  const auto ended = loop->Run();
  LogIfFailed(ended);
  // Threads may still be inside calls whose answers nobody awaits; they are not waited for.
  ::_exit(ended ? 0 : 1);
}

}  // namespace

int RunDaemon(const DaemonArgs& args) {
  PrepareProcess();
  auto log_fd = OpenShimLog(args.bundle);
  log::SetOutput(log_fd ? log_fd->get() : -1, kMaxLogFile);
  if (args.debug) log::SetLevel(log::Level::kDebug);
  log::SetCommonFields({{"sandbox", args.id}, {"namespace", args.namespace_name}});
  LogIfFailed(Serve(args));
  LogIfFailed(sys::RemoveFile(args.socket_path));
  return 1;
}

}  // namespace kata::shim
