// SPDX-License-Identifier: Apache-2.0
//
// qemu/qmp_client.h - talking to one QEMU over its monitor socket.
//
// Any thread but the event loop's makes blocking calls; the loop reads answers and events. QEMU may
// die at any moment: every call then fails with kUnavailable, at once.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
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
  void Handle(QmpMessage message);
  void Break(std::string reason);

  sys::EventLoop& loop_;
  sys::UniqueFd socket_;  // closed on the loop only, or with the object

  std::mutex read_mutex_;  // guards codec_, on_event_ and the order of reading; taken before mutex_
  QmpCodec codec_;
  EventHandler on_event_;

  std::mutex write_mutex_;  // one whole command at a time

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::optional<QmpGreeting> greeting_;
  std::map<uint64_t, PendingCall> calls_;
  uint64_t next_id_ = 1;
  std::optional<std::string> broken_;  // why no more answers will come
};

}  // namespace kata::hypervisor::qemu
