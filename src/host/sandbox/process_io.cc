// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/process_io.h"

#include <termios.h>

#include <algorithm>
#include <utility>

#include "host/stdio/endpoint.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

constexpr auto kLoggerReady = std::chrono::seconds(10);
constexpr auto kLoggerEnd = std::chrono::seconds(10);
constexpr auto kStandInReady = std::chrono::seconds(5);
// A guest that was asked for output answers at once when it has some. After the end of a process,
// silence means that a descendant holds the stream open.
constexpr std::chrono::milliseconds kSilence(300);
constexpr auto kSilenceCheck = std::chrono::milliseconds(50);
// A descendant that never falls silent does not keep the end from being told.
constexpr std::chrono::milliseconds kLongestWait = std::chrono::seconds(2);

}  // namespace

Result<std::shared_ptr<ProcessIo>> ProcessIo::Open(sys::EventLoop& loop,
                                                   const StdioRequest& request,
                                                   const std::string& container_namespace,
                                                   const std::string& container_id) {
  std::shared_ptr<ProcessIo> io(new ProcessIo(loop));
  io->terminal_ = request.terminal;
  if (request.in.starts_with(stdio::kStandInScheme)) {
    stdio::StandInStreams streams =
        KATA_TRY(stdio::OpenStandIn(request.in.substr(stdio::kStandInScheme.size()),
                                    request.terminal, Deadline::After(kStandInReady)));
    io->has_stand_in_ = true;
    io->stand_in_fd_ = std::move(streams.channel);
    io->mount_namespace_ = std::move(streams.mount_namespace);
    io->proc_ = std::move(streams.proc);
    if (request.terminal || !sys::IsNullDevice(streams.in.get())) {
      io->input_.reader = std::move(streams.in);
    }
    io->out_.fd = std::move(streams.out);
    io->err_.fd = std::move(streams.err);
    return io;
  }
  if (KATA_TRY_WITHIN("stdin", stdio::HasInput(request.in))) io->input_path_ = request.in;
  const stdio::Uri out = KATA_TRY(stdio::ParseUri(request.out));
  const stdio::Uri err = KATA_TRY(stdio::ParseUri(request.terminal ? "" : request.err));
  if (out.kind == stdio::Uri::Kind::kBinary) {
    io->logger_ = KATA_TRY(stdio::Logger::Start(out, container_namespace, container_id,
                                                Deadline::After(kLoggerReady)));
    io->out_.fd = io->logger_->TakeStdout();
    io->err_.fd = io->logger_->TakeStderr();
    if (request.terminal) io->err_ = {};
    return io;
  }
  io->out_ = KATA_TRY_WITHIN("stdout", stdio::OpenOutput(out));
  io->err_ = KATA_TRY_WITHIN("stderr", stdio::OpenOutput(err));
  return io;
}

ProcessIo::~ProcessIo() {
  // The pumps belong to the loop's thread; the last owner of this object need not run there.
  loop_.Post([in = std::move(stdin_pump_), outputs = std::exchange(outputs_, {}),
              channel = std::move(channel_)] {});
}

ProcessIo::Outputs ProcessIo::outputs() {
  const MutexLock lock(mutex_);
  return outputs_;
}

void ProcessIo::Describe(oci::Process* process) const {
  process->set_no_stdin(!input_.reader.valid() && input_path_.empty());
  // A pseudo terminal in raw mode says it still, unless its owner has said otherwise.
  termios mode{};
  process->set_bare_line_feeds(
      terminal_ && has_stand_in_ &&
      (::tcgetattr(out_.fd.get(), &mode) != 0 || (mode.c_oflag & ONLCR) == 0));
}

Result<void> ProcessIo::OpenInput() {
  if (!input_path_.empty()) input_ = KATA_TRY_WITHIN("stdin", stdio::OpenInput(input_path_));
  return {};
}

void ProcessIo::Start(const std::shared_ptr<agent::AgentClient>& agent,
                      const agent::ProcessName& process) {
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    open_outputs_ = terminal_ ? 1 : 2;
  }
  loop_.Post([self = shared_from_this(), agent, process] {
    {
      const MutexLock lock(self->mutex_);
      if (self->closed_) return;
    }
    const auto ended = [weak = self->weak_from_this()] {
      if (const auto io = weak.lock()) io->OnStreamEnd();
    };
    // The caller's own pipe: a program that writes to one without readers gets SIGPIPE.
    // containerd's clients come and go, and their fifos are not the program's.
    const auto refuse = [&](void (agent::AgentClient::*close)(const agent::ProcessName&)) {
      return self->has_stand_in_
                 ? std::function<void()>([agent, process, close] { ((*agent).*close)(process); })
                 : nullptr;
    };
    auto out = std::make_shared<stdio::OutputPump>(
        self->loop_, std::move(self->out_),
        [agent, process](auto done) { agent->ReadStdout(process, std::move(done)); }, ended,
        refuse(&agent::AgentClient::CloseStdoutAsync));
    std::shared_ptr<stdio::OutputPump> err;
    if (!self->terminal_) {
      err = std::make_shared<stdio::OutputPump>(
          self->loop_, std::move(self->err_),
          [agent, process](auto done) { agent->ReadStderr(process, std::move(done)); }, ended,
          refuse(&agent::AgentClient::CloseStderrAsync));
    }
    {
      const MutexLock lock(self->mutex_);
      self->outputs_ = {out, err};
    }
    out->Start();
    if (err) err->Start();
    if (!self->input_.reader) {
      // Our own agent knows (oci::Process::no_stdin); another one waits for this.
      if (!self->terminal_) agent->CloseStdinAsync(process);
      return;
    }
    if (self->keeper_released_) self->input_.keeper.Reset();
    self->stdin_pump_ = std::make_shared<stdio::InputPump>(
        self->loop_, std::move(self->input_.reader), std::move(self->input_.keeper),
        [agent, process](std::string data, auto taken) {
          agent->WriteStdin(process, std::move(data), std::move(taken));
        },
        [agent, process] { agent->CloseStdinAsync(process); });
    self->stdin_pump_->Start();
  });
}

void ProcessIo::CloseStdin() {
  loop_.Post([self = shared_from_this()] {
    self->keeper_released_ = true;
    if (self->stdin_pump_) self->stdin_pump_->ReleaseKeeper();
  });
}

void ProcessIo::OnStreamEnd() {
  {
    const MutexLock lock(mutex_);
    --open_outputs_;
    ended_.NotifyAll();
  }
  TryEndStandIn();
  TryAfterOutput();
}

void ProcessIo::AfterOutput(std::function<void()> then) {
  loop_.Post([self = shared_from_this(), then = std::move(then)]() mutable {
    self->after_output_.push_back(std::move(then));
    self->after_output_since_ = std::chrono::steady_clock::now();
    self->TryAfterOutput();
  });
}

void ProcessIo::TryAfterOutput() {
  if (after_output_.empty()) return;
  const auto now = std::chrono::steady_clock::now();
  // Before there are pumps, the answer to the start is on its way, or the process was never
  // started.
  const Outputs pumps = outputs();
  bool waiting = !pumps.front() && now - after_output_since_ < kSilence;
  for (const auto& pump : pumps) {
    if (!pump || pump->finished()) continue;
    // A pump that does not ask holds what a slow reader has not taken yet.
    const auto patience = pump->asking() ? kSilence : kLongestWait;
    if (now - std::max(pump->last_progress(), after_output_since_) < patience) waiting = true;
  }
  {
    const MutexLock lock(mutex_);
    if (closed_) waiting = false;
  }
  if (!waiting || now - after_output_since_ >= kLongestWait) {
    for (const auto& then : std::exchange(after_output_, {})) then();
    return;
  }
  loop_.RunAfter(kSilenceCheck, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->TryAfterOutput();
  });
}

void ProcessIo::WatchStandIn(stdio::StandInChannel::Handler handler) {
  loop_.Post([self = shared_from_this(), handler = std::move(handler)]() mutable {
    if (!self->stand_in_fd_) return;
    self->channel_ = std::make_shared<stdio::StandInChannel>(
        self->loop_, std::move(self->stand_in_fd_), std::move(handler));
    stdio::StandInChannel::Watch(self->channel_);
  });
}

void ProcessIo::EndStandIn(uint32_t status, std::function<void()> after) {
  loop_.Post([self = shared_from_this(), status, after = std::move(after)]() mutable {
    self->stand_in_status_ = status;
    self->stand_in_after_ = std::move(after);
    self->TryEndStandIn();
  });
}

void ProcessIo::TryEndStandIn() {
  bool ended = true;
  for (const auto& pump : outputs()) {
    if (!pump || pump->finished()) continue;
    ended = false;
    // What the caller has not read yet belongs before the end.
    if (!stand_in_status_ || pump->asking()) continue;
    loop_.RunAfter(kSilenceCheck, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->TryEndStandIn();
    });
    return;
  }
  if (stand_in_status_ && channel_) channel_->SendExit(*stand_in_status_);
  stand_in_status_.reset();
  if (!ended) return;
  if (const auto after = std::exchange(stand_in_after_, {})) after();
}

bool ProcessIo::Drain(std::chrono::milliseconds patience) {
  const MutexLock lock(mutex_);
  auto give_up = std::chrono::steady_clock::now() + patience;
  const auto done = [&]() KATA_REQUIRES(mutex_) { return open_outputs_ <= 0 || closed_; };
  while (!ended_.WaitUntil(mutex_, Deadline::At(give_up), done)) {
    auto moved = std::chrono::steady_clock::time_point::min();
    for (const auto& pump : outputs_) {
      if (pump) moved = std::max(moved, pump->last_progress());
    }
    if (moved + patience <= give_up) return false;
    give_up = moved + patience;
  }
  return true;
}

void ProcessIo::Close() {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(closed_, true)) return;
    ended_.NotifyAll();
  }
  loop_.Post([self = shared_from_this()] {
    if (self->stdin_pump_) self->stdin_pump_->Finish();
    for (const auto& pump : self->outputs()) {
      if (pump) pump->Finish();
    }
    self->TryEndStandIn();
    self->TryAfterOutput();
    self->channel_.reset();
    self->stand_in_fd_.Reset();
    self->input_ = {};
    self->out_ = {};
    self->err_ = {};
  });
  if (logger_) logger_->Stop(kLoggerEnd);
}

}  // namespace kata::sandbox
