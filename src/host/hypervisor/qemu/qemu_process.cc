// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>

#include <fmt/format.h>

#include "host/hypervisor/qemu/qemu_vm.h"

namespace kata::hypervisor::qemu {
namespace {

std::string TextOf(const nlohmann::json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace

void QemuProcess::Adopt(sys::ChildProcess child, std::shared_ptr<LogReader> errors,
                        std::shared_ptr<LogReader> console, std::shared_ptr<LogReader> serial) {
  for (auto& reader : {errors, console, serial}) {
    if (reader) readers_.push_back(reader);
  }
  const int pidfd = child.pidfd();
  {
    const MutexLock lock(mutex_);
    pid_ = child.pid();
    child_ = std::move(child);
  }
  loop_.Post([self = shared_from_this(), pidfd] {
    if (self->exit()) return;
    (void)self->loop_.Add(pidfd, EPOLLIN, [self](uint32_t) { self->ReapIfEnded(); });
  });
}

void QemuProcess::OnEvent(const QmpEvent& event) {
  const MutexLock lock(mutex_);
  if (event.name == "GUEST_PANICKED") {
    panicked_ = true;
  } else if (event.name == "SHUTDOWN") {
    shutdown_reason_ = TextOf(event.data, "reason");
  } else if (event.name == "DEVICE_DELETED") {
    // Without an id it is nothing of ours, such as a device's own part.
    if (std::string id = TextOf(event.data, "device"); !id.empty()) gone_.insert(std::move(id));
    changed_.NotifyAll();
  } else if (event.name == "MIGRATION") {
    migration_ = TextOf(event.data, "status");
    changed_.NotifyAll();
  }
}

VmExit QemuProcess::DescribeExit(sys::ExitStatus status) {
  VmExit exit;
  exit.status = status;
  const std::string panic_line = console_log_->FindLast("Kernel panic");
  const std::string last_words = error_log_->Tail(4, 1000);
  if (stop_wanted_) {
    exit.reason = VmExit::Reason::kStopped;
    exit.message = "the VM was stopped";
  } else if (panicked_ || shutdown_reason_ == "guest-panic") {
    exit.reason = VmExit::Reason::kGuestPanic;
    exit.message = "the guest's kernel panicked";
    if (!panic_line.empty()) exit.message += ": " + panic_line;
  } else if (shutdown_reason_ == "guest-reset") {
    const bool panic = !panic_line.empty();
    exit.reason = panic ? VmExit::Reason::kGuestPanic : VmExit::Reason::kGuestReset;
    exit.message = panic ? "the guest's kernel panicked: " + panic_line : "the guest reset itself";
    if (console_log_->total_bytes() == 0) {
      exit.message +=
          " before it wrote anything to its console; enable_debug in configuration.toml shows the "
          "boot from its first line";
    }
  } else if (shutdown_reason_ == "guest-shutdown") {
    exit.reason = VmExit::Reason::kGuestShutdown;
    exit.message = "the guest powered itself off";
  } else {
    exit.reason = VmExit::Reason::kVmmFailed;
    exit.message = fmt::format("QEMU ended: {}", status.Describe());
    if (!last_words.empty()) exit.message += "; its last words: " + last_words;
  }
  return exit;
}

void QemuProcess::ReapIfEnded() {
  MutexLock lock(mutex_);
  if (exit_ || reaping_ || !child_.valid()) return;
  const auto status = child_.Wait(Deadline::After(std::chrono::milliseconds(0)));
  if (!status) return;
  reaping_ = true;
  lock.Unlock();
  // All that QEMU and the guest said before the end belongs to the story of the end.
  for (const auto& reader : readers_) reader->Drain();
  if (qmp_) qmp_->Pump();
  lock.Lock();
  const VmExit exit = DescribeExit(*status);
  exit_ = exit;
  std::vector<Hypervisor::ExitHandler> handlers = std::exchange(exit_handlers_, {});
  const int pidfd = child_.pidfd();
  changed_.NotifyAll();
  lock.Unlock();
  for (const auto& reader : readers_) reader->Close();
  if (qmp_) qmp_->Close();
  loop_.Post([self = shared_from_this(), pidfd, exit, run = std::move(handlers)]() mutable {
    self->loop_.Remove(pidfd);
    for (Hypervisor::ExitHandler& handler : run) handler(exit);
  });
}

void QemuProcess::OnExit(Hypervisor::ExitHandler handler) {
  const MutexLock lock(mutex_);
  if (!exit_) {
    exit_handlers_.push_back(std::move(handler));
    return;
  }
  loop_.Post([exit = *exit_, run = std::move(handler)]() mutable { run(exit); });
}

std::optional<VmExit> QemuProcess::exit() const {
  const MutexLock lock(mutex_);
  return exit_;
}

pid_t QemuProcess::pid() const {
  const MutexLock lock(mutex_);
  return pid_;
}

void QemuProcess::Stop(std::chrono::milliseconds grace) {
  int pidfd = -1;
  {
    const MutexLock lock(mutex_);
    stop_wanted_ = true;
    if (exit_ || !child_.valid()) return;
    pidfd = child_.pidfd();
  }
  if (grace.count() > 0 && qmp_) {
    const Deadline deadline = Deadline::After(grace);
    (void)qmp_->Call("quit", nullptr, deadline);
    (void)sys::WaitFor(pidfd, POLLIN, deadline);
  }
  (void)sys::SignalPidFd(pidfd, SIGKILL);
  (void)sys::WaitFor(pidfd, POLLIN, Deadline::Never());
  ReapIfEnded();
  const MutexLock lock(mutex_);
  changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return exit_.has_value(); });
}

void QemuProcess::Kill() {
  const MutexLock lock(mutex_);
  // By pidfd: once reaped, the number may be somebody else's.
  if (!exit_ && child_.valid()) (void)sys::SignalPidFd(child_.pidfd(), SIGKILL);
}

Error QemuProcess::Explain(Error error) {
  // The monitor closes a moment before the process ends, so wait for the better explanation.
  MutexLock lock(mutex_);
  if (error.code() != Code::kUnavailable || !child_.valid()) return error;
  if (!exit_) {
    const int pidfd = child_.pidfd();
    lock.Unlock();
    (void)sys::WaitFor(pidfd, POLLIN, Deadline::After(std::chrono::milliseconds(500)));
    ReapIfEnded();
    lock.Lock();
    (void)changed_.WaitUntil(mutex_, Deadline::After(std::chrono::milliseconds(500)),
                             [this]() KATA_REQUIRES(mutex_) { return exit_.has_value(); });
  }
  if (!exit_) return error;
  return Error(Code::kUnavailable, exit_->message);
}

bool QemuProcess::IsGone(const std::string& id) const {
  const MutexLock lock(mutex_);
  return gone_.contains(id);
}

Result<void> QemuProcess::WaitUntilGone(const std::string& id, Deadline deadline) {
  const MutexLock lock(mutex_);
  const auto done = [&]() KATA_REQUIRES(mutex_) { return exit_ || gone_.contains(id); };
  if (!changed_.WaitUntil(mutex_, deadline, done)) {
    return Fail(Code::kDeadlineExceeded, "the guest does not release it");
  }
  if (!gone_.contains(id)) return Fail(Code::kUnavailable, exit_->message);
  return {};
}

void QemuProcess::ExpectMigration() {
  const MutexLock lock(mutex_);
  migration_.clear();
}

Result<void> QemuProcess::WaitForMigration(Deadline deadline) {
  const MutexLock lock(mutex_);
  const auto done = [&]() KATA_REQUIRES(mutex_) {
    return exit_ || migration_ == "completed" || migration_ == "failed";
  };
  if (!changed_.WaitUntil(mutex_, deadline, done)) {
    return Fail(Code::kDeadlineExceeded, "QEMU does not finish with the VM's state");
  }
  if (exit_) return Fail(Code::kUnavailable, exit_->message);
  if (migration_ == "failed") return Fail(Code::kUnavailable, "QEMU failed with the VM's state");
  return {};
}

void QemuProcess::ForgetGone(const std::string& id) {
  const MutexLock lock(mutex_);
  gone_.erase(id);
}

}  // namespace kata::hypervisor::qemu
