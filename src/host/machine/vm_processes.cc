// SPDX-License-Identifier: Apache-2.0
#include "host/machine/vm_processes.h"

#include <sys/epoll.h>

#include <future>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/mutex.h"
#include "sys/process.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;

// What a VMM that is about to end gets to do so and to say why.
constexpr auto kLastWords = milliseconds(1000);
constexpr char kHasEnded[] = "the machine has ended";

}  // namespace

struct VmProcesses::Watch : std::enable_shared_from_this<Watch> {
  explicit Watch(sys::EventLoop& loop_in) : loop(loop_in) {}

  sys::EventLoop& loop;
  Mutex mutex;
  CondVar ended;                                                      // end_reason is set
  std::shared_ptr<hypervisor::Hypervisor> vm KATA_GUARDED_BY(mutex);  // until Stop() has ended it
  std::shared_ptr<agent::AgentClient> agent KATA_GUARDED_BY(mutex);
  bool end_wanted KATA_GUARDED_BY(mutex) = false;
  bool stopped KATA_GUARDED_BY(mutex) = false;
  std::string virtiofsd_exit KATA_GUARDED_BY(mutex);  // virtiofsd's
  std::string end_reason KATA_GUARDED_BY(mutex);
  std::function<void(const std::string&)> on_end KATA_GUARDED_BY(mutex);

  void Kill();
  // On the loop's thread: what serves the VMM has gone, perhaps because the VMM has.
  void KillSoon();
  void OnVmExit(const hypervisor::VmExit& exit);
  void OnVirtiofsdExit(storage::Virtiofsd& virtiofsd);
  void OnAgentClosed(const Error& reason);
};

void VmProcesses::Watch::Kill() {
  const MutexLock lock(mutex);
  if (vm && end_reason.empty()) vm->Kill();
}

void VmProcesses::Watch::KillSoon() {
  loop.RunAfter(kLastWords, [self = shared_from_this()] { self->Kill(); });
}

void VmProcesses::Watch::OnVmExit(const hypervisor::VmExit& exit) {
  std::shared_ptr<agent::AgentClient> to_close;
  std::function<void(const std::string&)> to_tell;
  std::string reason;
  {
    const MutexLock lock(mutex);
    reason = end_reason = virtiofsd_exit.empty() ? exit.message : virtiofsd_exit;
    ended.NotifyAll();
    to_close = agent;
    if (!stopped) to_tell = std::exchange(on_end, nullptr);
  }
  if (to_close) to_close->Close(Error(Code::kUnavailable, exit.message));
  if (to_tell) to_tell(reason);
}

void VmProcesses::Watch::OnVirtiofsdExit(storage::Virtiofsd& virtiofsd) {
  std::string said = virtiofsd.ExitReason();
  {
    const MutexLock lock(mutex);
    if (end_wanted) return;
    virtiofsd_exit = std::move(said);
  }
  KillSoon();
}

void VmProcesses::Watch::OnAgentClosed(const Error& reason) {
  {
    const MutexLock lock(mutex);
    if (end_wanted || !end_reason.empty()) return;
  }
  log::Error("the guest's agent has gone", {{"reason", reason.message()}});
  KillSoon();
}

VmProcesses::VmProcesses(sys::EventLoop& loop)
    : loop_(loop), watch_(std::make_shared<Watch>(loop)) {}

VmProcesses::~VmProcesses() { Stop(); }

Result<void> VmProcesses::StartVirtiofsd(const storage::VirtiofsdSpec& spec, Deadline deadline) {
  virtiofsd_ = KATA_TRY(storage::Virtiofsd::Start(spec, deadline));
  virtiofsd_pid_ = virtiofsd_->pid();
  loop_.Post([watch = watch_, daemon = virtiofsd_.get()] {
    const int pidfd = daemon->pidfd();
    LogIfFailed(watch->loop.Add(pidfd, EPOLLIN, [watch, daemon, pidfd](uint32_t) {
      watch->loop.Remove(pidfd);
      watch->OnVirtiofsdExit(*daemon);
    }));
  });
  return {};
}

Result<void> VmProcesses::StartVmm(std::unique_ptr<hypervisor::Hypervisor> vm,
                                   hypervisor::VmSpec spec, Deadline deadline) {
  vm_ = std::move(vm);
  {
    const MutexLock lock(watch_->mutex);
    watch_->vm = vm_;
  }
  vm_->OnExit([watch = watch_](const hypervisor::VmExit& exit) { watch->OnVmExit(exit); });
  KATA_TRY(vm_->Start(std::move(spec), deadline));
  const MutexLock lock(watch_->mutex);
  if (!watch_->virtiofsd_exit.empty()) return Fail(Code::kUnavailable, watch_->virtiofsd_exit);
  return {};
}

Result<void> VmProcesses::ConnectAgent(milliseconds request_timeout, uint32_t first_stream,
                                       Deadline deadline) {
  sys::UniqueFd channel = KATA_TRY(vm_->ConnectAgent(deadline));
  agent_ = KATA_TRY(agent::AgentClient::Create(
      loop_, std::move(channel), request_timeout,
      [watch = watch_](const Error& reason) { watch->OnAgentClosed(reason); }, first_stream));
  std::string reason;
  {
    const MutexLock lock(watch_->mutex);
    watch_->agent = agent_;
    reason = watch_->end_reason;
  }
  if (!reason.empty()) agent_->Close(Error(Code::kUnavailable, reason));
  return {};
}

std::vector<pid_t> VmProcesses::pids() const {
  std::vector<pid_t> pids;
  if (vm_) pids.push_back(vm_->pid());
  if (virtiofsd_pid_ > 0) {
    const std::vector<pid_t> daemons = sys::WithDescendants(virtiofsd_pid_);
    pids.insert(pids.end(), daemons.begin(), daemons.end());
  }
  return pids;
}

bool VmProcesses::alive() const {
  const MutexLock lock(watch_->mutex);
  return watch_->end_reason.empty() && !watch_->stopped;
}

std::string VmProcesses::end_reason() const {
  const MutexLock lock(watch_->mutex);
  return watch_->end_reason;
}

void VmProcesses::OnEnd(std::function<void(const std::string&)> handler) {
  const MutexLock lock(watch_->mutex);
  if (watch_->stopped) return;
  if (watch_->end_reason.empty()) {
    watch_->on_end = std::move(handler);
    return;
  }
  loop_.Post([handler = std::move(handler), reason = watch_->end_reason] { handler(reason); });
}

Error VmProcesses::Explain(Error error) const {
  const Code code = error.code();
  if ((code != Code::kUnavailable && code != Code::kDeadlineExceeded) || !vm_) return error;
  std::string message = error.message();
  if (message.find(kHasEnded) != std::string::npos) return error;
  std::string reason;
  {
    const MutexLock lock(watch_->mutex);
    if (code == Code::kUnavailable) {
      (void)watch_->ended.WaitUntil(watch_->mutex, Deadline::After(2 * kLastWords),
                                    [watch = watch_.get()]() KATA_REQUIRES(watch->mutex) {
                                      return !watch->end_reason.empty();
                                    });
    }
    reason = watch_->end_reason;
  }
  if (!reason.empty() && message.find(reason) == std::string::npos) {
    message += fmt::format("; {}: {}", kHasEnded, reason);
  }
  const std::string console = vm_->ConsoleTail(kConsoleLines);
  if (message.find("console") == std::string::npos) {
    message += console.empty() ? "; the guest's console is empty"
                               : fmt::format("; the guest's console ended with:\n{}", console);
  }
  return Error(code, std::move(message));
}

Error VmProcesses::ExplainStart(Error error) const {
  Error explained = Explain(std::move(error));
  // The VMM only sees that its peer has gone.
  const std::string virtiofsd_exit = VirtiofsdExit();
  return virtiofsd_exit.empty() ? explained : std::move(explained).Within(virtiofsd_exit);
}

// It is the loop's to ask how the daemon ended.
std::string VmProcesses::VirtiofsdExit() const {
  if (!virtiofsd_) return "";
  std::promise<std::string> told;
  loop_.Post([&] {
    std::string known;
    {
      const MutexLock lock(watch_->mutex);
      known = watch_->virtiofsd_exit;
    }
    told.set_value(known.empty() ? virtiofsd_->ExitReason() : known);
  });
  return told.get_future().get();
}

void VmProcesses::Kill() {
  {
    const MutexLock lock(watch_->mutex);
    watch_->end_wanted = true;
  }
  watch_->Kill();
}

void VmProcesses::Stop() {
  {
    const MutexLock lock(watch_->mutex);
    watch_->end_wanted = true;
    watch_->stopped = true;
    watch_->on_end = nullptr;
  }
  // No grace: disks are raw, and what the guest has written to them is the host's already.
  if (vm_) vm_->Stop(milliseconds(0));
  if (agent_) agent_->Close(Error(Code::kUnavailable, kHasEnded));
  {
    const MutexLock lock(watch_->mutex);
    watch_->vm.reset();
    watch_->agent.reset();
  }
  if (!virtiofsd_) return;
  // Its descriptor must leave the loop, on the loop's thread, before it is closed.
  std::promise<void> removed;
  loop_.Post([&] {
    loop_.Remove(virtiofsd_->pidfd());
    removed.set_value();
  });
  removed.get_future().wait();
  virtiofsd_.reset();
}

}  // namespace kata::sandbox
