// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/server_connection.h - one client of a Server: its session, its stream, its deadlines.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "ttrpc/connection.h"
#include "ttrpc/limits.h"
#include "ttrpc/server.h"
#include "ttrpc/session.h"

namespace kata::ttrpc {

class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  // The handler of a call, or nullptr. The pointer is used at once.
  using FindHandler =
      std::function<const Server::Handler*(std::string_view service, std::string_view method)>;

  ServerConnection(sys::EventLoop& loop, const Limits& limits, StreamKind kind, FindHandler find,
                   Server::Observer observer, std::shared_ptr<std::atomic<size_t>> calls_in_flight);
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;
  ~ServerConnection() = default;

  // Once. `on_closed` is called once on the loop's thread.
  Result<void> Start(sys::UniqueFd stream, std::function<void()> on_closed);
  // On the loop's thread, or when the loop does not run; on_closed runs before it returns.
  void CloseNow();

 private:
  // The loop's thread only.
  size_t OnBytes(std::string_view bytes);
  void OnPeerGone();
  void OnClosed();
  void Dispatch(ServerSession::Call call);
  void ArmTimer();
  void OnTimer();

  // Any thread.
  void Answer(CallKey key, Result<std::string> answer);
  bool Wanted(CallKey key) const;
  bool Park(CallKey key);

  sys::EventLoop& loop_;
  const Limits limits_;
  const StreamKind kind_;
  FindHandler find_handler_;
  const Server::Observer observer_;
  const std::shared_ptr<std::atomic<size_t>> calls_in_flight_;
  std::function<void()> on_closed_;
  std::optional<sys::EventLoop::TimerId> timer_;
  std::shared_ptr<Connection> connection_;

  mutable Mutex mutex_;  // taken before the connection's own
  ServerSession session_ KATA_GUARDED_BY(mutex_);
  bool closed_ KATA_GUARDED_BY(mutex_) = false;
};

}  // namespace kata::ttrpc
