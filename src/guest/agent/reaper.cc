// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/reaper.h"

#include <sys/signalfd.h>
#include <sys/wait.h>

#include <array>
#include <csignal>

namespace kata::guest {

Result<std::unique_ptr<Reaper>> Reaper::Create(sys::EventLoop& loop, OnExit on_exit,
                                               OnStop on_stop) {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&watched, signal);
  if (::sigprocmask(SIG_BLOCK, &watched, nullptr) != 0) return FailErrno("sigprocmask");
  ::signal(SIGPIPE, SIG_IGN);
  sys::UniqueFd signals(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return FailErrno("signalfd");
  const int fd = signals.get();
  std::unique_ptr<Reaper> reaper(
      new Reaper(loop, std::move(signals), std::move(on_exit), std::move(on_stop)));
  KATA_TRY(loop.Add(fd, EPOLLIN, [self = reaper.get()](uint32_t) { self->OnSignals(); }));
  return reaper;
}

Reaper::~Reaper() { loop_.Remove(signals_.get()); }

void Reaper::OnSignals() {
  std::array<signalfd_siginfo, 16> arrived;
  bool stop = false;
  for (;;) {
    const ssize_t n = ::read(signals_.get(), arrived.data(), sizeof arrived);
    if (n <= 0) break;
    for (size_t i = 0; i < static_cast<size_t>(n) / sizeof arrived[0]; ++i) {
      stop |= arrived[i].ssi_signo != SIGCHLD;
    }
  }
  ReapAll();
  if (stop) on_stop_();
}

void Reaper::ReapAll() {
  // SIGCHLD does not queue: one delivery may stand for many exits, orphans included.
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    on_exit_(pid, sys::ExitStatus::FromWaitStatus(status));
  }
}

}  // namespace kata::guest
