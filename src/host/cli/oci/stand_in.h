// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/stand_in.h - the process on the host that stands for a container process.
//
// conmon and containerd's runc shim are subreapers: they wait for the process id that the runtime
// reported, signal it, and take the exit status from it. The stand-in is that process. It hands the
// caller's streams to the shim (host/stdio/stand_in_channel.h), passes signals and window changes
// on, and ends with the container process's exit status. SIGKILL to it is SIGKILL to the container
// process.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::cli::oci {

// The first argument of this program when it is to be a stand-in.
inline constexpr char kStandInWord[] = "--stand-in";
// A program that is nothing but a stand-in, a tenth in memory of what this one would be.
inline constexpr char kStandInProgram[] = "kata-stand-in";

// What Release() writes: the decimal number of a process, or 0, padded with zero bytes.
inline constexpr size_t kGoBytes = 16;

// The exit status when the shim has gone without telling one.
inline constexpr int kLostStatus = 128 + 9;

struct StandInRequest {
  std::string root;
  std::string id;
  bool is_exec = false;  // a creation that fails need not remove the container
  int streams[3] = {0, 1, 2};
  bool terminal = false;      // of streams, the first two are used
  bool own_terminal = false;  // the terminal becomes its controlling one
  int proc = -1;              // the device of the /proc to be shown at it, for the shim
};

// A stand-in that has been started and listens at `socket`, a path. Until Release() it goes away,
// and removes a container that was being created, when this process ends.
class StandIn {
 public:
  static Result<StandIn> Start(const StandInRequest& request, const std::string& socket);
  pid_t pid() const { return process_.pid(); }
  // The creation has succeeded: nothing is removed any more. When this returns, the stand-in is in
  // the network namespace of process `network`, if that is not 0: callers that find a container's
  // network by the pid they got must not find the host's. A stand-in that has ended already, with
  // its process, is no error.
  Result<void> Release(pid_t network = 0);
  // After Release(): this process no longer waits for it and does not end it.
  void Leave() { (void)process_.Detach(); }
  // Waits for its end as its parent, passing on to it every signal that comes meanwhile.
  Result<int> WaitForEnd();

 private:
  sys::ChildProcess process_;
  sys::UniqueFd go_;
};

// The program `kata-runtime --stand-in ...`. `line` are its words; does not return to a shell's
// logic: the result is the exit status.
int RunStandIn(std::span<char* const> line);

// Blocks the signals that a stand-in passes on, in this thread and those made later.
void BlockForwardedSignals();

// Waits on `listener` for the shim, hands it the descriptors, and returns the channel
// (host/stdio/stand_in_channel.h).
// Errors  kCancelled  `cancel` became readable first
Result<sys::UniqueFd> HandOver(int listener, std::span<const int> streams, int cancel);

// Serves the channel to its end and returns the container process's exit status; signals must be
// blocked. `terminal` is asked for its size when it changes, or -1.
int Attend(sys::UniqueFd channel, int terminal);

}  // namespace kata::cli::oci
