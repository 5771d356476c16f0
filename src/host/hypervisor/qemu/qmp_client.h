// SPDX-License-Identifier: Apache-2.0
//
// qemu/qmp_client.h - talking to one QEMU over its monitor socket.
//
// Any thread but the event loop's makes blocking calls; the loop reads answers and events. QEMU may
// die at any moment: every call then fails with kUnavailable, at once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/call_queue.h"
#include "base/deadline.h"
#include "base/mutex.h"
#include "base/result.h"
#include "host/hypervisor/qemu/qmp_codec.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::hypervisor::qemu {

class QmpClient : public std::enable_shared_from_this<QmpClient> {
 public:
  // Runs on the loop's thread, or inside Pump(). Must not call back into the client.
  using EventHandler = std::move_only_function<void(const QmpEvent&)>;

  // Takes over `socket`, a connected stream socket, and begins to watch it.
  static std::shared_ptr<QmpClient> Create(sys::EventLoop& loop, sys::UniqueFd socket,
                                           EventHandler on_event);

  // Waits for QEMU's greeting and enters command mode. Before any Call().
  Result<QmpGreeting> Handshake(Deadline deadline);

  // Sends one command and waits for its answer. `fd`, if given, travels with it (getfd, add-fd).
  // Errors  kUnavailable       QEMU has closed its monitor
  //         kDeadlineExceeded  no answer in time; a late one is dropped
  //         kNotFound          QEMU's DeviceNotFound or CommandNotFound
  //         kFailedPrecondition  QEMU refused; the message ends with its words
  Result<nlohmann::json> Call(std::string_view command, const nlohmann::json& arguments,
                              Deadline deadline, int fd = -1);

  // Handles what has arrived, without waiting. The loop does this by itself; for the moment when
  // QEMU has exited and its last events must not be missed.
  void Pump();

  // Ends all calls with kUnavailable and closes the socket on the loop.
  void Close();

 private:
  struct PendingCall {
    std::optional<Result<nlohmann::json>> answer;
  };

  QmpClient(sys::EventLoop& loop, sys::UniqueFd socket, EventHandler on_event)
      : loop_(loop), socket_(std::move(socket)), on_event_(std::move(on_event)) {}
  // Writes one whole command, behind those of others.
  // Errors  kDeadlineExceeded  QEMU does not read theirs; nothing of this one has gone out
  Result<void> Send(std::string_view line, int fd, Deadline deadline);
  void Handle(QmpMessage message) KATA_REQUIRES(read_mutex_);
  void Break(std::string reason);

  sys::EventLoop& loop_;
  sys::UniqueFd socket_;  // closed on the loop only, or with the object

  Mutex read_mutex_ KATA_ACQUIRED_BEFORE(mutex_);  // the order of reading, too
  QmpCodec codec_ KATA_GUARDED_BY(read_mutex_);
  EventHandler on_event_ KATA_GUARDED_BY(read_mutex_);

  CallQueue writing_;  // one whole command at a time

  Mutex mutex_;
  CondVar changed_;
  std::optional<QmpGreeting> greeting_ KATA_GUARDED_BY(mutex_);
  std::map<uint64_t, PendingCall> calls_ KATA_GUARDED_BY(mutex_);
  uint64_t next_id_ KATA_GUARDED_BY(mutex_) = 1;
  // Why no more answers will come.
  std::optional<std::string> broken_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::hypervisor::qemu
