// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/process.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include <fmt/format.h>

namespace kata::guest {
namespace {

Result<void> SizePipe(const sys::Pipe& pipe, size_t size) {
  if (size == 0) return {};
  if (::fcntl(pipe.read.get(), F_SETPIPE_SZ, static_cast<int>(size)) >= 0) return {};
  return FailErrno("F_SETPIPE_SZ", std::to_string(size));
}

// A pipe whose end `ours` does not block.
Result<sys::Pipe> MakeStream(sys::UniqueFd sys::Pipe::* ours, size_t size) {
  sys::Pipe pipe = KATA_TRY(sys::MakePipe());
  KATA_TRY(SizePipe(pipe, size));
  KATA_TRY(sys::SetNonBlocking((pipe.*ours).get()));
  return pipe;
}

}  // namespace

Result<StdioPair> MakeStdio(const oci::Process& process, size_t pipe_size) {
  StdioPair pair;
  pair.child.terminal = process.terminal();
  if (process.terminal()) return pair;
  if (!process.no_stdin()) {
    sys::Pipe in = KATA_TRY(MakeStream(&sys::Pipe::write, pipe_size));
    pair.child.in = std::move(in.read);
    pair.in = std::move(in.write);
  }
  sys::Pipe out = KATA_TRY(MakeStream(&sys::Pipe::read, pipe_size));
  sys::Pipe err = KATA_TRY(MakeStream(&sys::Pipe::read, pipe_size));
  pair.child.out = std::move(out.write);
  pair.child.err = std::move(err.write);
  pair.out = std::move(out.read);
  pair.err = std::move(err.read);
  return pair;
}

Process::Process(sys::EventLoop& loop, std::string id, StdioPair& stdio)
    : loop_(loop),
      id_(std::move(id)),
      in_(std::make_unique<InputStream>(loop, std::move(stdio.in), false)),
      out_(std::make_unique<OutputStream>(loop, std::move(stdio.out))),
      err_(std::make_unique<OutputStream>(loop, std::move(stdio.err))) {}

Process::~Process() { StopReport(); }

void Process::Follow(PendingProcess pending, std::chrono::milliseconds timeout) {
  pid_ = pending.pid;
  report_ = std::move(pending.report);
  start_ = std::move(pending.start);
  timeout_ = timeout;
  ArmTimeout();
  const auto added =
      loop_.Add(report_.get(), EPOLLIN, [this](uint32_t) { shared_from_this()->OnReport(); });
  if (!added) FailLaunch(added.error());
}

void Process::ArmTimeout() {
  timer_ = loop_.RunAfter(timeout_, [this] {
    timer_.reset();
    (void)Signal(SIGKILL);
    FailLaunch(Error(Code::kDeadlineExceeded,
                     fmt::format("the process was not set up within {} s",
                                 std::chrono::ceil<std::chrono::seconds>(timeout_).count())));
  });
}

void Process::WhenReady(Done done) {
  if (state_ == State::kLaunching) return ready_waiters_.push_back(std::move(done));
  if (state_ == State::kFailed) return done(std::unexpected(*launch_error_));
  done({});
}

void Process::WhenRunning(Done done) {
  if (state_ == State::kRunning) return done({});
  if (state_ == State::kFailed) return done(std::unexpected(*launch_error_));
  running_waiters_.push_back(std::move(done));
}

void Process::Start(Done done) {
  if (exited()) return done(Fail(Code::kFailedPrecondition, "the process has ended already"));
  if (state_ != State::kReady || !start_) {
    return done(Fail(Code::kFailedPrecondition, "the process is not waiting to be started"));
  }
  const char go = 1;
  if (::write(start_.get(), &go, 1) != 1) return done(FailErrno("write", "start pipe"));
  start_.Reset();
  ArmTimeout();
  WhenRunning(std::move(done));
}

void Process::OnReport() {
  const auto self = shared_from_this();
  while (report_) {
    ProcessReport report = ReadReport(report_.get());
    switch (report.kind) {
      case ProcessReport::Kind::kNothingYet:
        return;
      case ProcessReport::Kind::kReady:
        state_ = State::kReady;
        if (report.terminal) {
          if (auto taken = TakeTerminal(std::move(report.terminal)); !taken) {
            (void)Signal(SIGKILL);
            return FailLaunch(std::move(taken).error());
          }
        }
        // A process that executes at once keeps its timeout until it does.
        if (start_ && timer_) {
          loop_.Cancel(*timer_);
          timer_.reset();
        }
        Settle(ready_waiters_, {});
        break;
      case ProcessReport::Kind::kRunning:
        if (state_ != State::kReady) {
          return FailLaunch(Error(Code::kAborted, "the process was killed while it was set up"));
        }
        state_ = State::kRunning;
        StopReport();
        Settle(ready_waiters_, {});
        Settle(running_waiters_, {});
        return;
      case ProcessReport::Kind::kFailed:
        return FailLaunch(std::move(report.error));
    }
  }
}

Result<void> Process::TakeTerminal(sys::UniqueFd master) {
  KATA_TRY(sys::SetNonBlocking(master.get()));
  in_ = std::make_unique<InputStream>(loop_, KATA_TRY(sys::Duplicate(master.get())), true);
  out_ = std::make_unique<OutputStream>(loop_, KATA_TRY(sys::Duplicate(master.get())));
  terminal_ = std::move(master);
  if (initial_rows_ != 0 && initial_columns_ != 0) {
    KATA_TRY(Resize(initial_rows_, initial_columns_));
  }
  return {};
}

void Process::Settle(std::vector<Done>& waiters, const Result<void>& outcome) {
  for (Done& done : std::exchange(waiters, {})) done(outcome);
}

void Process::FailLaunch(Error error) {
  const auto self = shared_from_this();
  StopReport();
  start_.Reset();
  state_ = State::kFailed;
  launch_error_ = std::move(error);
  Settle(ready_waiters_, std::unexpected(*launch_error_));
  Settle(running_waiters_, std::unexpected(*launch_error_));
}

void Process::StopReport() {
  if (report_) {
    loop_.Remove(report_.get());
    report_.Reset();
  }
  if (timer_) loop_.Cancel(*timer_);
  timer_.reset();
}

void Process::HasExited(sys::ExitStatus status) {
  const auto self = shared_from_this();
  // The child's last words may not have been read yet.
  exit_ = status;
  OnReport();
  if (report_) {
    FailLaunch(Error(Code::kInternal,
                     fmt::format("the process ended while it was set up: {}", status.Describe())));
  }
  start_.Reset();
  in_->Abandon();
  for (OnExited& callback : std::exchange(exit_waiters_, {})) callback(status);
}

void Process::WhenExited(OnExited callback) {
  if (exit_) return callback(*exit_);
  exit_waiters_.push_back(std::move(callback));
}

Result<void> Process::Signal(int signal) const {
  // Nobody else reaps, so until HasExited the number belongs to this process.
  if (exited() || pid_ <= 0) return Fail(Code::kNotFound, "process already finished");
  if (::kill(pid_, signal) == 0) return {};
  if (errno == ESRCH) return Fail(Code::kNotFound, "process already finished");
  return FailErrno("kill", std::to_string(pid_));
}

Result<void> Process::Resize(uint32_t rows, uint32_t columns) const {
  if (!terminal_) return Fail(Code::kFailedPrecondition, "the process has no terminal");
  if (rows > UINT16_MAX || columns > UINT16_MAX) {
    return Fail(Code::kInvalidArgument, fmt::format("terminal of {}x{}", rows, columns));
  }
  const winsize size{.ws_row = static_cast<uint16_t>(rows),
                     .ws_col = static_cast<uint16_t>(columns),
                     .ws_xpixel = 0,
                     .ws_ypixel = 0};
  if (::ioctl(terminal_.get(), TIOCSWINSZ, &size) != 0) return FailErrno("TIOCSWINSZ");
  return {};
}

void Process::AbandonStreams() {
  in_->Abandon();
  out_->Abandon();
  err_->Abandon();
}

}  // namespace kata::guest
