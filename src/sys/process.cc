// SPDX-License-Identifier: Apache-2.0
#include "sys/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <functional>
#include <new>
#include <thread>

#include <fmt/format.h>

#include "base/mutex.h"
#include "sys/files.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

extern char** environ;

namespace kata::sys {
namespace {

#ifdef __SANITIZE_THREAD__
// The thread sanitizer would take what the child does for the parent's doing, its descriptors above
// all. So the child has a copy of the memory there, and shares only its stack.
constexpr int kChildMemory = 0;
constexpr int kStackMemory = MAP_SHARED;
#else
constexpr int kChildMemory = CLONE_VM;
constexpr int kStackMemory = MAP_PRIVATE;
#endif

// A step that failed in the child. The texts are the parent's.
struct ChildFailure {
  const char* step = nullptr;  // null when the program runs
  const char* subject = nullptr;
  int error_number = 0;
};

// All that the child needs, prepared by the parent. The child shares the parent's memory until it
// executes (CLONE_VM | CLONE_VFORK), so nothing in the child may allocate or take a lock.
struct ChildPlan {
  const char* executable;
  char* const* argv;
  char* const* envp;
  const char* cwd;             // or null
  std::vector<FdMapping> fds;  // stdio included; -1 stands for /dev/null
  int first_free_fd;           // above every target
  const int* namespaces;
  size_t namespace_count;
  const ResourceLimit* limits;
  size_t limit_count;
  std::vector<std::string> cgroup_procs;
  std::string oom_score_adj;  // or empty
  bool new_session;
  bool new_process_group;
  int parent_death_signal;
  pid_t parent;
  bool set_ids;
  uid_t uid;
  gid_t gid;

  ChildFailure* failure = nullptr;
};

[[noreturn]] void FailChild(ChildPlan* plan, const char* step, const char* subject = nullptr) {
  *plan->failure = {.step = step, .subject = subject, .error_number = errno};
  ::_exit(127);
}

void WriteInChild(ChildPlan* plan, const char* path, const char* text, size_t size) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) FailChild(plan, "open", path);
  if (::write(fd, text, size) < 0) FailChild(plan, "write", path);
  ::close(fd);
}

void MoveDescriptors(ChildPlan* plan) {
  // First everything to numbers above all targets, so that no target overwrites a source.
  for (FdMapping& mapping : plan->fds) {
    if (mapping.from < 0) {
      mapping.from = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      if (mapping.from < 0) FailChild(plan, "open", "/dev/null");
    }
    const int moved = ::fcntl(mapping.from, F_DUPFD_CLOEXEC, plan->first_free_fd);
    if (moved < 0) FailChild(plan, "duplicate an inherited descriptor");
    mapping.from = moved;
  }
  if (::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0 && errno != ENOSYS &&
      errno != EINVAL) {
    FailChild(plan, "close_range");
  }
  for (const FdMapping& mapping : plan->fds) {
    if (::dup2(mapping.from, mapping.to) < 0) FailChild(plan, "dup2");
  }
}

int ChildMain(void* argument) {
  auto* plan = static_cast<ChildPlan*>(argument);
  // Handlers belong to the parent's code; in shared memory they must never run here. All signals
  // are blocked until they are gone.
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);

  for (const std::string& path : plan->cgroup_procs) {
    WriteInChild(plan, path.c_str(), "0", 1);
  }
  if (!plan->oom_score_adj.empty()) {
    WriteInChild(plan, "/proc/self/oom_score_adj", plan->oom_score_adj.data(),
                 plan->oom_score_adj.size());
  }
  for (size_t i = 0; i < plan->namespace_count; ++i) {
    if (::setns(plan->namespaces[i], 0) != 0) FailChild(plan, "setns");
  }
  if (plan->new_session) {
    if (::setsid() < 0) FailChild(plan, "setsid");
  } else if (plan->new_process_group) {
    if (::setpgid(0, 0) != 0) FailChild(plan, "setpgid");
  }
  MoveDescriptors(plan);
  if (plan->cwd != nullptr && ::chdir(plan->cwd) != 0) FailChild(plan, "chdir", plan->cwd);
  if (plan->set_ids) {
    // The raw calls: glibc's would try to carry the change to the parent's threads.
    if (::syscall(SYS_setgroups, 0, nullptr) != 0) FailChild(plan, "setgroups");
    if (::syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid) != 0) {
      FailChild(plan, "setresgid");
    }
    if (::syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid) != 0) {
      FailChild(plan, "setresuid");
    }
  }
  for (size_t i = 0; i < plan->limit_count; ++i) {
    const struct rlimit64 limit{plan->limits[i].value, plan->limits[i].value};
    if (::prlimit64(0, static_cast<__rlimit_resource>(plan->limits[i].resource), &limit, nullptr) !=
        0) {
      FailChild(plan, "setrlimit");
    }
  }
  // After the change of user, which clears it.
  if (plan->parent_death_signal != 0) {
    if (::prctl(PR_SET_PDEATHSIG, plan->parent_death_signal) != 0) FailChild(plan, "prctl");
    if (::getppid() != plan->parent) ::_exit(127);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan->executable, plan->argv, plan->envp);
  FailChild(plan, "execve", plan->executable);
}

struct Cloned {
  pid_t pid;
  int pidfd;
  int error_number;
  ChildFailure failure;
};

Cloned CloneChild(ChildPlan* plan) {
  constexpr size_t kStack = 64 << 10;
  void* const stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                             kStackMemory | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return {-1, -1, errno, {}};
  // At the end that the stack does not reach.
  plan->failure = new (stack) ChildFailure;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  const pid_t pid =
      ::clone(ChildMain, static_cast<char*>(stack) + kStack,
              kChildMemory | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, plan, &pidfd, nullptr, nullptr);
  const int error_number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const ChildFailure failure = *plan->failure;
  ::munmap(stack, kStack);
  return {pid, pidfd, error_number, failure};
}

// Forks on one thread that never ends, for children whose parent-death signal must mean the
// process's death and not that of the thread which happened to call Spawn.
class ForkThread {
 public:
  static Cloned Clone(ChildPlan* plan) {
    // Never destroyed: the thread uses it until the process ends. A forked copy of this process has
    // no such thread, so it makes its own.
    static Mutex mutex;
    static ForkThread* instance KATA_GUARDED_BY(mutex) = nullptr;
    const MutexLock lock(mutex);
    if (instance == nullptr || instance->owner_ != ::getpid()) instance = new ForkThread();
    return instance->Run(plan);
  }

 private:
  ForkThread() : owner_(::getpid()) {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([this] { Loop(); }).detach();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  Cloned Run(ChildPlan* plan) {
    const MutexLock lock(mutex_);
    plan_ = plan;
    changed_.NotifyAll();
    changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return plan_ == nullptr; });
    return result_;
  }

  void Loop() {
    const MutexLock lock(mutex_);
    for (;;) {
      changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return plan_ != nullptr; });
      result_ = CloneChild(plan_);
      plan_ = nullptr;
      changed_.NotifyAll();
    }
  }

  const pid_t owner_;
  Mutex mutex_;
  CondVar changed_;
  ChildPlan* plan_ KATA_GUARDED_BY(mutex_) = nullptr;
  Cloned result_ KATA_GUARDED_BY(mutex_){};
};

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Result<void> Validate(const Command& command) {
  if (command.argv.empty()) return Fail(Code::kInvalidArgument, "spawn: empty argv");
  if (command.uid.has_value() != command.gid.has_value()) {
    return Fail(Code::kInvalidArgument, "spawn: uid and gid go together");
  }
  std::vector<int> targets;
  for (const FdMapping& mapping : command.fds) {
    if (mapping.from < 0 || mapping.to < 3) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("spawn: cannot map descriptor {} to {}", mapping.from, mapping.to));
    }
    targets.push_back(mapping.to);
  }
  std::ranges::sort(targets);
  if (std::ranges::adjacent_find(targets) != targets.end()) {
    return Fail(Code::kInvalidArgument, "spawn: two descriptors mapped to one number");
  }
  for (const auto& strings : {command.argv, command.env.value_or(std::vector<std::string>{})}) {
    for (const std::string& text : strings) {
      if (text.find('\0') != std::string::npos) {
        return Fail(Code::kInvalidArgument, "spawn: NUL byte in an argument");
      }
    }
  }
  return {};
}

}  // namespace

ExitStatus ExitStatus::FromWaitStatus(int wait_status) {
  ExitStatus status;
  if (WIFSIGNALED(wait_status)) {
    status.signal = WTERMSIG(wait_status);
    status.core_dumped = WCOREDUMP(wait_status);
  } else {
    status.code = WEXITSTATUS(wait_status);
  }
  return status;
}

std::string ExitStatus::Describe() const {
  if (signal == 0) return fmt::format("exit status {}", code);
  const char* const known = ::sigdescr_np(signal);
  std::string name = known != nullptr ? known : "unknown";
  name[0] = static_cast<char>(std::tolower(name[0]));
  return fmt::format("killed by signal {} ({})", signal, name);
}

Result<ChildProcess> ChildProcess::Spawn(const Command& command) {
  KATA_TRY(Validate(command));
  const std::string executable =
      KATA_TRY(FindExecutable(command.executable.empty() ? command.argv[0] : command.executable));
  const std::vector<char*> argv = Pointers(command.argv);
  std::vector<char*> envp;
  if (command.env) envp = Pointers(*command.env);

  ChildPlan plan{};
  plan.executable = executable.c_str();
  plan.argv = argv.data();
  plan.envp = command.env ? envp.data() : environ;
  plan.cwd = command.cwd.empty() ? nullptr : command.cwd.c_str();
  plan.fds = command.fds;
  plan.fds.push_back({command.stdin_fd, 0});
  plan.fds.push_back({command.stdout_fd, 1});
  plan.fds.push_back({command.stderr_fd, 2});
  plan.first_free_fd = std::ranges::max(plan.fds, {}, &FdMapping::to).to + 1;
  plan.namespaces = command.namespace_fds.data();
  plan.namespace_count = command.namespace_fds.size();
  plan.limits = command.limits.data();
  plan.limit_count = command.limits.size();
  for (const std::string& dir : command.cgroup_dirs) {
    plan.cgroup_procs.push_back(dir + "/cgroup.procs");
  }
  if (command.oom_score_adj) plan.oom_score_adj = std::to_string(*command.oom_score_adj);
  plan.new_session = command.new_session;
  plan.new_process_group = command.new_process_group;
  plan.parent_death_signal = command.parent_death_signal;
  plan.parent = ::getpid();
  plan.set_ids = command.uid.has_value();
  plan.uid = command.uid.value_or(0);
  plan.gid = command.gid.value_or(0);

  const Cloned cloned =
      command.parent_death_signal != 0 ? ForkThread::Clone(&plan) : CloneChild(&plan);
  if (cloned.pid < 0) return std::unexpected(Error::FromErrno("clone", {}, cloned.error_number));
  ChildProcess child(cloned.pid, UniqueFd(cloned.pidfd));
  if (const ChildFailure& failure = cloned.failure; failure.step != nullptr) {
    (void)child.Wait(Deadline::Never());
    return std::unexpected(Error::FromErrno(
        failure.step, failure.subject != nullptr ? failure.subject : "", failure.error_number));
  }
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      status_(std::exchange(other.status_, std::nullopt)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    KillAndReap();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    status_ = std::exchange(other.status_, std::nullopt);
  }
  return *this;
}

ChildProcess::~ChildProcess() { KillAndReap(); }

void ChildProcess::KillAndReap() {
  if (!valid() || status_) return;
  (void)Signal(SIGKILL);
  (void)Wait(Deadline::Never());
}

Result<void> ChildProcess::Signal(int signal) const {
  if (!valid()) return Fail(Code::kFailedPrecondition, "signal: no process");
  auto sent = SignalPidFd(pidfd_.get(), signal);
  if (!sent && sent.error().error_number() == ESRCH) return {};
  return sent;
}

Result<ExitStatus> ChildProcess::Wait(Deadline deadline) {
  if (status_) return *status_;
  if (!valid()) return Fail(Code::kFailedPrecondition, "wait: no process");
  KATA_TRY(WaitFor(pidfd_.get(), POLLIN, deadline));
  siginfo_t info{};
  const int result = RetryOnEintr([&] {
    return ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd_.get()), &info,
                    WEXITED);
  });
  if (result != 0) return FailErrno("waitid");
  ExitStatus status;
  if (info.si_code == CLD_EXITED) {
    status.code = info.si_status;
  } else {
    status.signal = info.si_status;
    status.core_dumped = info.si_code == CLD_DUMPED;
  }
  status_ = status;
  return status;
}

Result<ExitStatus> ChildProcess::Terminate(Deadline::Clock::duration grace) {
  KATA_TRY(Signal(SIGTERM));
  if (auto status = Wait(Deadline::After(grace));
      status || status.error().code() != Code::kDeadlineExceeded) {
    return status;
  }
  KATA_TRY(Signal(SIGKILL));
  return Wait(Deadline::Never());
}

UniqueFd ChildProcess::Detach() {
  pid_ = -1;
  status_.reset();
  return std::move(pidfd_);
}

Result<UniqueFd> OpenPidFd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return FailErrno("pidfd_open", std::to_string(pid));
  return fd;
}

Result<void> SignalPidFd(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0) {
    return FailErrno("pidfd_send_signal");
  }
  return {};
}

Result<std::string> FindExecutable(std::string_view name) {
  if (name.empty()) return Fail(Code::kInvalidArgument, "find executable: empty name");
  if (name.find('/') != std::string_view::npos) return std::string(name);
  const char* variable = ::getenv("PATH");
  std::string_view path = variable != nullptr ? variable : "/usr/sbin:/usr/bin:/sbin:/bin";
  bool denied = false;
  while (!path.empty()) {
    const size_t end = std::min(path.find(':'), path.size());
    const std::string candidate = fmt::format("{}/{}", path.substr(0, end), name);
    path.remove_prefix(std::min(end + 1, path.size()));
    struct stat status{};
    if (candidate.front() != '/' || ::stat(candidate.c_str(), &status) != 0 ||
        !S_ISREG(status.st_mode)) {
      continue;
    }
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    denied = true;
  }
  if (denied) {
    return Fail(Code::kPermissionDenied,
                fmt::format("find executable \"{}\": not executable", name));
  }
  return Fail(Code::kNotFound,
              fmt::format("find executable \"{}\": executable file not found in $PATH", name));
}

std::vector<pid_t> WithDescendants(pid_t pid) {
  std::vector<pid_t> all = {pid};
  for (size_t i = 0; i < all.size(); ++i) {
    const auto text = ReadFile(fmt::format("/proc/{0}/task/{0}/children", all[i]), 64 << 10);
    if (!text) continue;
    const char* const end = text->data() + text->size();
    for (const char* at = text->data(); at < end;) {
      pid_t child = 0;
      const auto [next, error] = std::from_chars(at, end, child);
      if (error == std::errc()) all.push_back(child);
      at = next + 1;
    }
  }
  return all;
}

Result<CommandOutput> RunAndCollect(Command command, Deadline deadline, size_t limit) {
  Pipe pipe = KATA_TRY(MakePipe());
  KATA_TRY(SetNonBlocking(pipe.read.get()));
  command.stdout_fd = pipe.write.get();
  command.stderr_fd = pipe.write.get();
  ChildProcess child = KATA_TRY(ChildProcess::Spawn(command));
  pipe.write.Reset();
  CommandOutput result;
  char buffer[4096];
  for (;;) {
    KATA_TRY_WITHIN(command.argv[0], WaitFor(pipe.read.get(), POLLIN, deadline));
    const ssize_t n = RetryOnEintr([&] { return ::read(pipe.read.get(), buffer, sizeof buffer); });
    if (n < 0 && errno == EAGAIN) continue;
    if (n < 0) return FailErrno("read", command.argv[0]);
    if (n == 0) break;
    const size_t room = limit - result.output.size();
    result.output.append(buffer, std::min(room, static_cast<size_t>(n)));
  }
  result.status = KATA_TRY_WITHIN(command.argv[0], child.Wait(deadline));
  return result;
}

}  // namespace kata::sys
