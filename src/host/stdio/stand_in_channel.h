// SPDX-License-Identifier: Apache-2.0
//
// host/stdio/stand_in_channel.h - the channel between a container process and its stand-in on the
// host.
//
// The OCI command line leaves a small process on the host for each container process: whoever
// started kata-runtime watches it, signals it and takes its exit status. It listens on a unix
// socket whose path comes in place of the standard streams, as "fds:///path". The shim connects
// once, receives the caller's own descriptors, and keeps the connection:
//
//   stand-in to shim   one greeting byte, the number of descriptors, with them attached: the
//                      streams, and with a container's first process the mount namespace that its
//                      files are to be looked up in and, where the host has FUSE, the device of the
//                      /proc that is shown there; then messages kSignal and kResize
//   shim to stand-in   one message kExit, after the process's output has arrived where it goes
//
// A stand-in that goes away before kExit was killed with SIGKILL, and so is its process.
// All messages are eight bytes in the host's byte order: both ends run on one machine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::stdio {

inline constexpr std::string_view kStandInScheme = "fds://";

struct StandInMessage {
  enum Kind : uint16_t { kSignal = 1, kResize = 2, kExit = 3 };
  uint16_t kind = 0;
  uint16_t first = 0;   // the signal's number; rows; the exit status
  uint16_t second = 0;  // columns
  uint16_t unused = 0;
};
static_assert(sizeof(StandInMessage) == 8);

// What came over a channel to the shim.
struct StandInEvent {
  enum class Kind { kSignal, kResize, kHangup };
  Kind kind = Kind::kHangup;
  int signal = 0;
  uint32_t rows = 0;
  uint32_t columns = 0;
};

// The streams of one process as its caller has them. Their flags are the caller's as well where the
// kernel gives no second description of the same file (regular files, sockets).
struct StandInStreams {
  sys::UniqueFd channel;
  sys::UniqueFd in;
  sys::UniqueFd out;
  sys::UniqueFd err;  // not for a terminal
  // Of the caller, in which paths of the bundle mean what the caller means; may be absent.
  sys::UniqueFd mount_namespace;
  sys::UniqueFd proc;  // a sys::FuseMount's device; may be absent
};

// Connects to the stand-in at `path` and takes its descriptors: two streams for a terminal, else
// three.
//
// Errors  kPermissionDenied  the listener belongs to another user
//         kInvalidArgument   it sent something else
//         kDeadlineExceeded  it sent nothing
Result<StandInStreams> OpenStandIn(const std::string& path, bool terminal, Deadline deadline);

// The shim's end. Lives on the event loop's thread.
class StandInChannel {
 public:
  // One event at a time: the next one is read after `handled` has been called, from any thread.
  // kHangup is the last one.
  using Handler = std::function<void(StandInEvent event, std::function<void()> handled)>;

  StandInChannel(sys::EventLoop& loop, sys::UniqueFd connection, Handler handler);
  StandInChannel(const StandInChannel&) = delete;
  StandInChannel& operator=(const StandInChannel&) = delete;
  ~StandInChannel();

  // `self` keeps the channel alive while an event is handled.
  static void Watch(const std::shared_ptr<StandInChannel>& self);
  // The last message; the handler is not called any more.
  void SendExit(uint32_t status);

 private:
  void OnReadable(const std::shared_ptr<StandInChannel>& self);
  void StopWatching();

  sys::EventLoop& loop_;
  sys::UniqueFd connection_;
  Handler handler_;
  bool watching_ = false;
};

}  // namespace kata::stdio
