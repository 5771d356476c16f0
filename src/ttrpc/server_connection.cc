// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/server_connection.h"

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace kata::ttrpc {
namespace {

// Tells an observer, if there is one, how long a call took.
class Stopwatch {
 public:
  Stopwatch() = default;
  Stopwatch(const Server::Observer& observer, std::string_view service, std::string_view method) {
    if (observer) running_ = Running{observer, std::string(service), std::string(method)};
  }
  void End() {
    if (!running_) return;
    running_->observer(running_->service, running_->method, Clock::now() - running_->begin);
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Running {
    Server::Observer observer;
    std::string service;
    std::string method;
    Clock::time_point begin = Clock::now();
  };
  std::optional<Running> running_;
};

}  // namespace

ServerConnection::ServerConnection(sys::EventLoop& loop, const Limits& limits, StreamKind kind,
                                   FindHandler find, Server::Observer observer,
                                   std::shared_ptr<std::atomic<size_t>> calls_in_flight)
    : loop_(loop),
      limits_(limits),
      kind_(kind),
      find_handler_(std::move(find)),
      observer_(std::move(observer)),
      calls_in_flight_(std::move(calls_in_flight)),
      session_(limits, kind == StreamKind::kReconnecting ? StreamIds::kMayStartOver
                                                         : StreamIds::kIncreasing) {}

Result<void> ServerConnection::Start(sys::UniqueFd stream, std::function<void()> on_closed) {
  on_closed_ = std::move(on_closed);
  const auto self = shared_from_this();
  connection_ = KATA_TRY(Connection::Create(
      loop_, std::move(stream), {.kind = kind_, .stop_reading_above = limits_.max_queued_bytes},
      {.on_bytes = [self](std::string_view bytes) { return self->OnBytes(bytes); },
       .on_peer_gone = [self] { self->OnPeerGone(); },
       .on_closed = [self](const Error&) { self->OnClosed(); }}));
  return {};
}

void ServerConnection::CloseNow() {
  connection_->CloseNow(Error(Code::kUnavailable, "the server is closing"));
}

size_t ServerConnection::OnBytes(std::string_view bytes) {
  const auto self = shared_from_this();
  std::string_view left = bytes;
  while (connection_->queued_bytes() <= limits_.max_queued_bytes) {
    std::optional<ServerSession::Event> event;
    {
      const MutexLock lock(mutex_);
      if (closed_) return bytes.size();
      const size_t open_before = session_.open_calls();
      event = session_.Next(left, ServerSession::Clock::now());
      *calls_in_flight_ += session_.open_calls() - open_before;
    }
    if (!event) break;
    if (auto* call = std::get_if<ServerSession::Call>(&*event)) {
      Dispatch(std::move(*call));
    } else {
      connection_->Send(std::move(std::get<ServerSession::Refusal>(*event).frame));
    }
  }
  ArmTimer();
  return bytes.size() - left.size();
}

void ServerConnection::Dispatch(ServerSession::Call call) {
  const std::weak_ptr<ServerConnection> weak = weak_from_this();
  const CallKey key = call.key;
  const Server::Handler* const handler = find_handler_(call.service, call.method);
  Stopwatch took =
      handler != nullptr ? Stopwatch(observer_, call.service, call.method) : Stopwatch();
  Responder responder(
      [weak, key, took](Result<std::string> answer) mutable {
        took.End();
        if (const auto self = weak.lock()) self->Answer(key, std::move(answer));
      },
      [weak, key] {
        const auto self = weak.lock();
        return self && self->Wanted(key);
      },
      [weak, key] {
        const auto self = weak.lock();
        return !self || self->Park(key);
      });
  if (handler == nullptr) {
    return responder.Fail(Error(
        Code::kUnimplemented, fmt::format("{}/{} is not offered here", call.service, call.method)));
  }
  (*handler)({.deadline = call.deadline, .metadata = std::move(call.metadata)}, call.payload,
             std::move(responder));
}

void ServerConnection::Answer(CallKey key, Result<std::string> answer) {
  // Answers of calls that were accepted before the queue filled up must not grow it for ever.
  if (answer && connection_->queued_bytes() > 2 * limits_.max_queued_bytes) {
    answer = Fail(Code::kResourceExhausted, "too many answers wait to be read");
  }
  std::string frame = EncodeResponse(key.stream_id, answer, limits_.max_payload);
  const MutexLock lock(mutex_);
  if (closed_ || !session_.Finish(key)) return;
  --*calls_in_flight_;
  connection_->Send(std::move(frame));
}

bool ServerConnection::Wanted(CallKey key) const {
  const MutexLock lock(mutex_);
  return !closed_ && session_.open(key);
}

bool ServerConnection::Park(CallKey key) {
  const MutexLock lock(mutex_);
  return session_.Park(key);
}

void ServerConnection::ArmTimer() {
  const MutexLock lock(mutex_);
  if (closed_) return;
  const auto next = session_.next_deadline();
  if (!next || (timer_ && timer_->first <= *next)) return;
  if (timer_) loop_.Cancel(*timer_);
  timer_ = loop_.RunAt(*next, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->OnTimer();
  });
}

void ServerConnection::OnTimer() {
  timer_.reset();
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    for (const CallKey& key : session_.Expire(ServerSession::Clock::now())) {
      --*calls_in_flight_;
      connection_->Send(EncodeStatus(
          key.stream_id, Error(Code::kDeadlineExceeded, "the call's deadline has passed")));
    }
  }
  ArmTimer();
}

void ServerConnection::OnPeerGone() {
  const MutexLock lock(mutex_);
  *calls_in_flight_ -= session_.open_calls();
  session_.Reset();
}

void ServerConnection::OnClosed() {
  if (timer_) loop_.Cancel(*timer_);
  timer_.reset();
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    *calls_in_flight_ -= session_.open_calls();
    session_.Reset();
  }
  if (const auto on_closed = std::exchange(on_closed_, {})) on_closed();
}

}  // namespace kata::ttrpc
