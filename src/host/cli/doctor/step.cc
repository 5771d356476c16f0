// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/step.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>

#include <fmt/format.h>

namespace kata::cli::doctor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kMostText = 64 << 10;
constexpr auto kGrace = seconds(20);
constexpr auto kTick = milliseconds(50);

Result<sys::UniqueFd> MakeSink() {
  sys::UniqueFd fd(::memfd_create("doctor", MFD_CLOEXEC));
  if (!fd) return FailErrno("memfd_create");
  return fd;
}

std::string TextOf(const sys::UniqueFd& fd) {
  std::string text(kMostText, '\0');
  const ssize_t n = ::pread(fd.get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

enum class Waited { kEnded, kCancelled, kTooLong };

Waited WaitForEnd(const sys::ChildProcess& child, Deadline deadline, int cancel,
                  const std::function<void()>& meanwhile) {
  for (;;) {
    pollfd waits[] = {{.fd = child.pidfd(), .events = POLLIN, .revents = 0},
                      {.fd = cancel, .events = POLLIN, .revents = 0}};
    const Deadline next = meanwhile ? deadline.Earlier(Deadline::After(kTick)) : deadline;
    const int ready = ::poll(waits, 2, next.PollMillis());
    if (ready < 0 && errno != EINTR) return Waited::kTooLong;
    if (meanwhile) meanwhile();
    if (ready > 0 && waits[0].revents != 0) return Waited::kEnded;
    if (ready > 0 && waits[1].revents != 0) return Waited::kCancelled;
    if (deadline.Passed()) return Waited::kTooLong;
  }
}

}  // namespace

Result<Interrupt> Interrupt::Make() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals, signal);
  if (::pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return FailErrno("pthread_sigmask");
  sys::UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return FailErrno("signalfd");
  return Interrupt(std::move(fd));
}

int Interrupt::Take() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return 0;
  return static_cast<int>(info.ssi_signo);
}

Result<StepOutcome> RunStep(sys::Command command, Deadline deadline, int cancel,
                            const std::function<void()>& meanwhile) {
  const sys::UniqueFd output = KATA_TRY(MakeSink());
  const sys::UniqueFd errors = KATA_TRY(MakeSink());
  const auto begin = Deadline::Clock::now();
  command.stdout_fd = output.get();
  command.stderr_fd = errors.get();
  // A terminal's Ctrl-C is for this process alone, which then ends the others in order.
  command.new_process_group = true;
  command.parent_death_signal = SIGTERM;
  auto child = KATA_TRY(sys::ChildProcess::Spawn(command));
  switch (WaitForEnd(child, deadline, cancel, meanwhile)) {
    case Waited::kCancelled:
      (void)child.Terminate(kGrace);
      return Fail(Code::kCancelled, "cancelled");
    case Waited::kTooLong: {
      const auto took = std::chrono::duration_cast<seconds>(Deadline::Clock::now() - begin);
      (void)child.Terminate(kGrace);
      return Fail(Code::kDeadlineExceeded, fmt::format("did not end within {} s", took.count()));
    }
    case Waited::kEnded:
      break;
  }
  const sys::ExitStatus status = KATA_TRY(child.Wait(Deadline::After(kGrace)));
  return StepOutcome{.status = status, .output = TextOf(output), .errors = TextOf(errors)};
}

}  // namespace kata::cli::doctor
