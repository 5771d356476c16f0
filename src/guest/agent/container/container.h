// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/container.h - one container of the guest: its namespaces, file systems,
// cgroup and the processes put into them.
//
// The agent has one thread and its loop never blocks, so making a process has two halves. Create
// and Exec fork a child and return; the child sets itself up and tells over its report descriptor
// which step failed, or that it is ready. The agent reaps every child (waitpid), not this class.
// Nothing here logs.
//
// The agent blocks the signals that its signalfd reads and ignores SIGPIPE: a child undoes both.
// A child closes every inherited descriptor that it does not need right after the fork: one that
// waits to be started must not hold the pipes of other processes open.
// Basis: OCI runtime-spec config.md, config-linux.md, runtime.md; cgroups(7) version 2.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "proto/agent.pb.h"
#include "proto/oci.pb.h"
#include "sys/fd.h"

namespace kata::guest {

// The child's ends of its standard streams. An invalid descriptor means /dev/null.
struct ProcessStdio {
  sys::UniqueFd in;
  sys::UniqueFd out;
  sys::UniqueFd err;
  // The child makes a pseudo terminal in the container's own devpts, makes it its controlling
  // terminal and all three streams, binds it over /dev/console (Create only) and hands the master
  // over with kReady. The descriptors above are then not used.
  bool terminal = false;
};

// A forked child that has not executed its program yet.
struct PendingProcess {
  pid_t pid = -1;        // in the agent's pid namespace; a direct child of the agent
  sys::UniqueFd report;  // non-blocking; give it to ReadReport whenever it is readable
  sys::UniqueFd start;   // Create only: one byte written makes the child execute its program; the
                         // child exits when it closes without. Invalid after Exec.
};

// What a child has said.
struct ProcessReport {
  enum class Kind {
    kNothingYet,
    kReady,    // set up, the executable was found; Create: waits for `start`
    kRunning,  // the descriptor closed without an error after kReady: the child executes, or has
               // told the program's standard error why it cannot. Without a kReady before, the
               // child was killed while it set itself up.
    kFailed,   // `error` says which step; the child exits
  };
  Kind kind = Kind::kNothingYet;
  sys::UniqueFd terminal;              // kReady with a terminal: the master's end, close-on-exec
  Error error = Error(Code::kOk, "");  // kFailed; worded as runc does where callers look for it:
                                       // exec: "x": executable file not found in $PATH
};

// The child's next message. Call until kNothingYet, kRunning or kFailed.
ProcessReport ReadReport(int report_fd);

// Namespaces that containers of a sandbox share; descriptors are borrowed, -1 means a new one.
struct SharedNamespaces {
  int ipc = -1;
  int uts = -1;
  int pid = -1;
  int net = -1;  // -1: the agent's own
};

struct ContainerSpec {
  std::string id;  // valid: see wire.md's rule for ids
  // root.path is a directory of the guest. Namespaces in it: cgroup, mount, network (ignored
  // unless it has a path), ipc and uts (the sandbox's are used), pid (always made or shared).
  oci::Spec oci;
  SharedNamespaces shared;
  std::string cgroup_root = "/sys/fs/cgroup";  // where version 2 is mounted
};

class Container {
 public:
  struct Created;

  // Makes the cgroup, applies oci.linux.resources and forks the first process. That is in the
  // cgroup itself, which is the container's topmost, or in a new one below it that `process.cgroup`
  // names, and then the topmost offers its controllers to what is below. On error nothing is left
  // behind. After a kFailed report the caller reaps the child and calls Destroy.
  static Result<Created> Create(ContainerSpec spec, ProcessStdio stdio);

  virtual ~Container() = default;

  // Forks a process that joins the container's namespaces, root and cgroup (or the one below it
  // that `process.cgroup` names) and executes `process` at once, also before the first process
  // executes its program. Absent capabilities are those of the first process.
  // Errors  kFailedPrecondition  the first process has ended, or the container is paused
  //         kNotFound            there is no such cgroup
  virtual Result<PendingProcess> Exec(const oci::Process& process, ProcessStdio stdio) = 0;

  // cgroup.freeze. Asks only: Frozen() tells when it has happened.
  virtual Result<void> Freeze(bool on) = 0;
  virtual Result<bool> Frozen() const = 0;
  // Blocks while the kernel reclaims what a lower limit leaves no room for. All that changes is the
  // cgroup, so a child of the agent can do it.
  virtual Result<void> Update(const oci::LinuxResources& resources) const = 0;
  // cgroup_stats from the cgroup, network_stats from the container's network namespace.
  virtual Result<agent::StatsContainerResponse> Stats() const = 0;
  // SIGKILL to every process of the cgroup and of those below it (cgroup.kill).
  virtual Result<void> KillAll() = 0;
  // A signal to every process of the container, each once.
  virtual Result<void> SignalAll(int signal) = 0;
  // Every process of the cgroup and of those below it, in the agent's pid namespace, ascending.
  virtual Result<std::vector<pid_t>> Pids() const = 0;
  // The cgroup's directory: the agent watches its memory.events and cgroup.events.
  virtual const std::string& cgroup_path() const = 0;
  // "oom_kill" of memory.events, those of the cgroups below included.
  virtual Result<uint64_t> OomKills() const = 0;

  // Removes the cgroup, mounts and the bundle directory. All processes must be reaped.
  // Errors  kUnavailable  the cgroup still has processes; call again when it is empty
  virtual Result<void> Destroy() = 0;
};

struct Container::Created {
  std::unique_ptr<Container> container;
  PendingProcess init;
};

}  // namespace kata::guest
