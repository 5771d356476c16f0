// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/process_io.h - the standard streams of one guest process.
//
// Opened on a pool thread, then living on the event loop: the pumps move bytes between the guest
// and what the caller named. Safe from every thread unless said otherwise.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"
#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/stdio/endpoint.h"
#include "host/stdio/logger.h"
#include "host/stdio/pump.h"
#include "host/stdio/stand_in_channel.h"
#include "proto/oci.pb.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

// Where a process's streams go, as its creator said it: see host/stdio/endpoint.h for the forms.
struct StdioRequest {
  bool terminal = false;  // one stream, out; err is not used
  // "fds:///path" (see host/stdio/stand_in_channel.h) stands for all streams at once.
  std::string in;
  std::string out;
  std::string err;
};

class ProcessIo : public std::enable_shared_from_this<ProcessIo> {
 public:
  // Opens the host's ends of the output; starts the logging program of a `binary://` stream.
  // Errors  as ParseUri, OpenOutput, CheckInput and Logger::Start; the message names the stream
  static Result<std::shared_ptr<ProcessIo>> Open(sys::EventLoop& loop, const StdioRequest& request,
                                                 const std::string& container_namespace,
                                                 const std::string& container_id);
  ~ProcessIo();

  // Tells the guest of what is at the host's ends: whether anybody gives input, and whether a
  // terminal is to say CR LF. That is for a terminal to see: as with runc, a caller who has the
  // output in a pipe gets LF. Before Start().
  void Describe(oci::Process* process) const;
  // Opens the input, when the process is about to start and not before: a client that reaches the
  // end of its input earlier than the answer to its create call never tells of it (ctr).
  Result<void> OpenInput();

  // Begins to move bytes.
  void Start(const std::shared_ptr<agent::AgentClient>& agent, const agent::ProcessName& process);

  // No client will write to stdin any more; what it wrote before still arrives.
  void CloseStdin();

  // After the process has ended: waits until its output has arrived at the host's ends. Gives up,
  // losing the rest, when nothing has moved for `patience`: a reader that has stopped reading, or a
  // descendant that holds the stream open. Whether all has arrived.
  bool Drain(std::chrono::milliseconds patience);

  // Of a process that has ended: runs `then` on the loop's thread once its output has arrived at
  // the host's ends, or none has moved for a while, or two seconds later: a descendant holds the
  // stream open, or nobody reads. Clients close their ends when they hear of the end, whether all
  // has been read or not. May be asked for several times.
  void AfterOutput(std::function<void()> then);

  // Closes the host's ends and waits for a logging program to end. Idempotent.
  void Close();

  // Whether the process has a stand-in on the host (host/stdio/stand_in_channel.h).
  bool has_stand_in() const { return has_stand_in_; }
  // Hears what the stand-in says, until the end. Called on the loop's thread.
  void WatchStandIn(stdio::StandInChannel::Handler handler);
  // Tells the stand-in that the process has ended, once the caller has read what had come until
  // then. `after` is called when the streams have ended as well, on the loop's thread.
  void EndStandIn(uint32_t status, std::function<void()> after);

  // The mount namespace that the caller's paths are meant in; none where it is the shim's own.
  // Once.
  sys::UniqueFd TakeMountNamespace() { return std::move(mount_namespace_); }
  // The device of the /proc that is shown at the stand-in, if there is one. Once.
  sys::UniqueFd TakeProc() { return std::move(proc_); }

  // The process id of the logging program, or 0.
  int logger_pid() const { return logger_ ? logger_->pid() : 0; }

 private:
  // Standard output and error; null before their start. Made, used and destroyed on the loop's
  // thread.
  using Outputs = std::array<std::shared_ptr<stdio::OutputPump>, 2>;

  explicit ProcessIo(sys::EventLoop& loop) : loop_(loop) {}
  // For the loop's thread.
  Outputs outputs() KATA_EXCLUDES(mutex_);
  void OnStreamEnd();
  void TryAfterOutput();
  void TryEndStandIn();

  sys::EventLoop& loop_;
  std::optional<stdio::Logger> logger_;
  std::string input_path_;
  stdio::Input input_;
  stdio::Output out_;
  stdio::Output err_;
  bool terminal_ = false;
  bool has_stand_in_ = false;
  sys::UniqueFd stand_in_fd_;
  sys::UniqueFd mount_namespace_;
  sys::UniqueFd proc_;

  // Of the loop's thread alone.
  std::shared_ptr<stdio::InputPump> stdin_pump_;
  bool keeper_released_ = false;
  std::shared_ptr<stdio::StandInChannel> channel_;
  std::optional<uint32_t> stand_in_status_;
  std::function<void()> stand_in_after_;
  std::vector<std::function<void()>> after_output_;
  std::chrono::steady_clock::time_point after_output_since_;

  Mutex mutex_;
  CondVar ended_;  // an output has, or closed_ is set
  Outputs outputs_ KATA_GUARDED_BY(mutex_);
  int open_outputs_ KATA_GUARDED_BY(mutex_) = 0;
  bool closed_ KATA_GUARDED_BY(mutex_) = false;
};

}  // namespace kata::sandbox
