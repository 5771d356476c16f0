// SPDX-License-Identifier: Apache-2.0
//
// sys/process.h - starting programs and knowing when they end.
//
// A child is held by a pidfd, so a signal never reaches a stranger that got its number, and an
// EventLoop can wait for its end. Spawning is safe in a process with threads: between fork and exec
// the child makes system calls only.
// Basis: clone(2) with CLONE_PIDFD, pidfd_send_signal(2), waitid(2), execve(2).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// How a process ended.
struct ExitStatus {
  int code = 0;    // 0..255; meaningless when `signal` is set
  int signal = 0;  // the signal that killed it, or 0
  bool core_dumped = false;

  static ExitStatus FromWaitStatus(int wait_status);
  bool Success() const { return signal == 0 && code == 0; }
  // As shells and container runtimes count: the exit code, or 128 + signal.
  int ShellCode() const { return signal != 0 ? 128 + signal : code; }
  // "exit status 3" or "killed by signal 9 (killed)".
  std::string Describe() const;

  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

// Puts the descriptor `from` of this process at the number `to` (3 or higher) in the child.
struct FdMapping {
  int from;
  int to;
};

// setrlimit(2), both the soft and the hard one.
struct ResourceLimit {
  int resource;  // RLIMIT_AS and the like
  uint64_t value;
};

// What to start and in which surroundings. Descriptors named here stay the caller's and only need
// to live until Spawn returns. The child gets no other descriptor, whatever its close-on-exec flag
// says, starts with an empty signal mask and with every signal at its default.
struct Command {
  std::vector<std::string> argv;  // not empty
  // The file to execute. Empty: argv[0], looked up in this process's $PATH when it has no slash.
  std::string executable;
  // "NAME=value" strings; absent: this process's environment.
  std::optional<std::vector<std::string>> env;
  std::string cwd;  // empty: this process's

  int stdin_fd = -1;  // -1: /dev/null
  int stdout_fd = -1;
  int stderr_fd = -1;
  std::vector<FdMapping> fds;

  bool new_session = false;
  bool new_process_group = false;
  // Sent to the child when this process dies, 0 for none. (The kernel ties this to the thread that
  // forks; Spawn takes care that this is one that lives as long as the process.)
  int parent_death_signal = 0;
  std::optional<int> oom_score_adj;  // -1000..1000; lowering it needs CAP_SYS_RESOURCE
  // Both or neither. Supplementary groups are dropped.
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  // Namespaces to join, in this order: descriptors of /proc/<pid>/ns/* or bound nsfs files.
  std::vector<int> namespace_fds;
  std::vector<ResourceLimit> limits;
  // Directories of cgroups to join, one a hierarchy.
  std::vector<std::string> cgroup_dirs;
};

// One child. Owned: the destructor kills it with SIGKILL and reaps it, unless it was reaped or
// released before. Signal() may be called while another thread is in Wait(); all else is for one
// thread at a time.
class ChildProcess {
 public:
  ChildProcess() = default;
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  // Returns once the child executes the program, or with the step that failed:
  //   execve "/usr/bin/qemu-system-x86_64": No such file or directory
  // A child that failed before execve is reaped already.
  // Errors  kNotFound          no such executable, directory or cgroup
  //         kPermissionDenied  not executable, or a step lacks a capability
  //         kInvalidArgument   `command` contradicts itself
  static Result<ChildProcess> Spawn(const Command& command);

  bool valid() const { return pidfd_.valid(); }
  pid_t pid() const { return pid_; }
  // Readable once the process has ended. Owned by this object.
  int pidfd() const { return pidfd_.get(); }

  // Sends `signal` to the process. A process that ended already is success.
  Result<void> Signal(int signal) const;

  // Waits until the process has ended and reaps it. Later calls return the same status again.
  // Errors  kDeadlineExceeded  it still runs
  Result<ExitStatus> Wait(Deadline deadline);
  bool reaped() const { return status_.has_value(); }

  // SIGTERM, up to `grace` for the process to end by itself, then SIGKILL.
  Result<ExitStatus> Terminate(Deadline::Clock::duration grace);

  // Gives the child up: it is neither killed nor reaped from here on. Returns the pidfd.
  [[nodiscard]] UniqueFd Detach();

 private:
  ChildProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  void KillAndReap();

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<ExitStatus> status_;
};

// A pidfd of a process that need not be our child, close-on-exec.
// Errors  kNotFound  no such process
Result<UniqueFd> OpenPidFd(pid_t pid);
// pidfd_send_signal(2). Errors  kNotFound  the process is gone
Result<void> SignalPidFd(int pidfd, int signal);

// `pid` and all that it has made, as far as they can be seen now.
std::vector<pid_t> WithDescendants(pid_t pid);

// The file that execvp(3) would run for `name`. A name with a slash is returned unchecked; relative
// entries of $PATH are skipped.
// Errors  kNotFound          nothing of that name in $PATH
//         kPermissionDenied  found, but not executable
Result<std::string> FindExecutable(std::string_view name);

// Runs `command` to its end with its output collected: stdout and stderr both go to `output`,
// bounded (the rest is read and dropped). Killed when the deadline passes.
struct CommandOutput {
  ExitStatus status;
  std::string output;
};
Result<CommandOutput> RunAndCollect(Command command, Deadline deadline, size_t limit = 64 << 10);

}  // namespace kata::sys
