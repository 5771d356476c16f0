// SPDX-License-Identifier: Apache-2.0
//
// Starting a stand-in, and waiting for it.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <utility>

#include "host/cli/oci/shim.h"
#include "host/cli/oci/stand_in.h"
#include "sys/files.h"
#include "sys/program.h"
#include "sys/sockets.h"

namespace kata::cli::oci {

Result<StandIn> StandIn::Start(const StandInRequest& request, const std::string& socket) {
  const sys::UniqueFd listener = KATA_TRY(sys::ListenUnix(socket, 0600, 1));
  sys::Pipe go = KATA_TRY(sys::MakePipe());
  sys::Command command;
  const std::string runtime = sys::OwnProgram();
  // The small program beside this one, else this one.
  command.executable = runtime.substr(0, runtime.rfind('/') + 1) + kStandInProgram;
  if (::access(command.executable.c_str(), X_OK) != 0) command.executable = runtime;
  command.argv = {"kata-runtime",
                  kStandInWord,
                  request.root,
                  request.id,
                  request.is_exec ? "exec" : "init",
                  request.own_terminal ? "own-terminal"
                  : request.terminal   ? "terminal"
                                       : "pipes",
                  runtime};
  command.cwd = "/";
  command.stdin_fd = request.streams[0];
  command.stdout_fd = request.streams[1];
  command.stderr_fd = request.streams[2];
  command.fds = {{listener.get(), 3}, {go.read.get(), 4}};
  if (request.proc >= 0) command.fds.push_back({request.proc, 5});
  command.new_session = true;
  StandIn result;
  result.process_ = KATA_TRY(sys::ChildProcess::Spawn(command));
  result.go_ = std::move(go.write);
  return result;
}

Result<void> StandIn::Release(pid_t network) {
  char word[kGoBytes] = {};
  std::to_chars(word, word + sizeof word, network);
  if (auto written = sys::WriteAll(go_.get(), {word, sizeof word}); !written) {
    // A process that has ended already has taken its stand-in with it.
    if (written.error().error_number() == EPIPE) return {};
    return written;
  }
  // It closes its end when it has done as told.
  pollfd closed{.fd = go_.get(), .events = 0, .revents = 0};
  if (sys::RetryOnEintr([&] { return ::poll(&closed, 1, -1); }) < 0) return FailErrno("poll");
  go_.Reset();
  return {};
}

Result<int> StandIn::WaitForEnd() {
  BlockForwardedSignals();
  sigset_t set;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &set);
  const sys::UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return FailErrno("signalfd");
  for (;;) {
    pollfd ready[2] = {{process_.pidfd(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (sys::RetryOnEintr([&] { return ::poll(ready, 2, -1); }) < 0) return FailErrno("poll");
    signalfd_siginfo info{};
    if (ready[1].revents != 0 && ::read(signals.get(), &info, sizeof info) > 0) {
      KATA_TRY(process_.Signal(static_cast<int>(info.ssi_signo)));
    }
    if (ready[0].revents != 0) {
      return KATA_TRY(process_.Wait(Deadline::Never())).ShellCode();
    }
  }
}

}  // namespace kata::cli::oci
