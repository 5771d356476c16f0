// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/server.h"

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <map>
#include <set>
#include <vector>

#include "ttrpc/server_connection.h"

namespace kata::ttrpc {
namespace {

constexpr int kAcceptsPerRound = 16;
// A process out of descriptors cannot accept, and the listener stays readable.
constexpr std::chrono::milliseconds kAcceptPause(100);

}  // namespace

Responder& Responder::operator=(Responder&& other) noexcept {
  if (this == &other) return *this;
  Responder abandoned(std::move(*this));
  send_ = std::exchange(other.send_, {});
  wanted_ = std::exchange(other.wanted_, {});
  parks_ = std::exchange(other.parks_, {});
  return *this;
}

Responder::~Responder() {
  if (send_) Fail(Error(Code::kInternal, "the call was given up without an answer"));
}

bool Responder::Park() {
  const Parks parks = std::exchange(parks_, {});
  return !parks || parks();
}

void Responder::Answer(Result<std::string> answer) {
  Send send = std::exchange(send_, {});
  wanted_ = {};
  if (send) send(std::move(answer));
}

void Responder::Reply(const google::protobuf::MessageLite& response) {
  if (send_) Answer(response.SerializeAsString());
}

void Responder::ReplyEmpty() { Answer(std::string()); }
void Responder::ReplyBytes(std::string response) { Answer(std::move(response)); }
void Responder::Fail(Error error) { Answer(std::unexpected(std::move(error))); }

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(sys::EventLoop& loop_in, const Limits& limits_in) : loop(loop_in), limits(limits_in) {}

  Result<void> Serve(sys::UniqueFd stream, std::function<void()> on_closed, StreamKind kind);
  Result<void> Watch(int listener);
  void OnListener(int listener);
  void PauseListeners();
  void ResumeListeners();
  void Close();

  sys::EventLoop& loop;
  const Limits limits;
  std::map<std::string, std::map<std::string, Handler, std::less<>>, std::less<>> services;
  Observer observer;
  std::set<std::shared_ptr<ServerConnection>> connections;
  std::vector<sys::UniqueFd> listeners;
  bool listeners_paused = false;
  const std::shared_ptr<std::atomic<size_t>> calls_in_flight =
      std::make_shared<std::atomic<size_t>>(0);
};

Server::Server(sys::EventLoop& loop, Limits limits)
    : state_(std::make_shared<State>(loop, limits)) {}

Server::~Server() { state_->Close(); }

void Server::State::Close() {
  for (const sys::UniqueFd& listener : listeners) loop.Remove(listener.get());
  listeners.clear();
  for (const auto& connection : std::exchange(connections, {})) connection->CloseNow();
}

void Server::Handle(std::string service, std::string method, Handler handler) {
  state_->services[std::move(service)][std::move(method)] = std::move(handler);
}

void Server::Observe(Observer observer) { state_->observer = std::move(observer); }

size_t Server::calls_in_flight() const { return *state_->calls_in_flight; }
size_t Server::connections() const { return state_->connections.size(); }

Result<void> Server::Serve(sys::UniqueFd connection, std::function<void()> on_closed,
                           StreamKind kind) {
  return state_->Serve(std::move(connection), std::move(on_closed), kind);
}

Result<void> Server::State::Serve(sys::UniqueFd stream, std::function<void()> on_closed,
                                  StreamKind kind) {
  auto find = [self = shared_from_this()](std::string_view service,
                                          std::string_view method) -> const Handler* {
    const auto methods = self->services.find(service);
    if (methods == self->services.end()) return nullptr;
    const auto handler = methods->second.find(method);
    return handler == methods->second.end() ? nullptr : &handler->second;
  };
  auto connection = std::make_shared<ServerConnection>(loop, limits, kind, std::move(find),
                                                       observer, calls_in_flight);
  auto closed = [weak_self = weak_from_this(),
                 weak_connection = std::weak_ptr<ServerConnection>(connection),
                 on_closed = std::move(on_closed)] {
    if (const auto self = weak_self.lock()) {
      self->connections.erase(weak_connection.lock());
      self->ResumeListeners();
    }
    if (on_closed) on_closed();
  };
  KATA_TRY(connection->Start(std::move(stream), std::move(closed)));
  connections.insert(std::move(connection));
  return {};
}

Result<void> Server::Listen(sys::UniqueFd listener) {
  KATA_TRY(sys::SetNonBlocking(listener.get()));
  KATA_TRY(state_->Watch(listener.get()));
  state_->listeners.push_back(std::move(listener));
  return {};
}

Result<void> Server::State::Watch(int listener) {
  const uint32_t events = listeners_paused ? 0u : static_cast<uint32_t>(EPOLLIN);
  return loop.Add(listener, events,
                  [self = shared_from_this(), listener](uint32_t) { self->OnListener(listener); });
}

void Server::State::OnListener(int listener) {
  for (int i = 0; i < kAcceptsPerRound; ++i) {
    if (connections.size() >= limits.max_connections) return PauseListeners();
    sys::UniqueFd stream(sys::RetryOnEintr(
        [&] { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
    if (stream) {
      // A stream that cannot be served is closed again, which its client sees.
      [[maybe_unused]] const Result<void> served =
          Serve(std::move(stream), {}, StreamKind::kConnected);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      PauseListeners();
      loop.RunAfter(kAcceptPause, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->ResumeListeners();
      });
    }
    return;
  }
}

void Server::State::PauseListeners() {
  listeners_paused = true;
  for (const sys::UniqueFd& listener : listeners) (void)loop.Modify(listener.get(), 0);
}

void Server::State::ResumeListeners() {
  if (!std::exchange(listeners_paused, false)) return;
  for (const sys::UniqueFd& listener : listeners) (void)loop.Modify(listener.get(), EPOLLIN);
}

}  // namespace kata::ttrpc
