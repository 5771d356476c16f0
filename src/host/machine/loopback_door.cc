// SPDX-License-Identifier: Apache-2.0
#include "host/machine/loopback_door.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <future>
#include <string>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/log.h"
#include "host/stdio/pump.h"
#include "sys/files.h"
#include "sys/netns.h"
#include "sys/socket_address.h"
#include "sys/socket_steering.h"
#include "sys/sockets.h"

namespace kata::sandbox {
namespace {

constexpr int kLoopbackBacklog = 64;
// Accepted before others get their turn.
constexpr int kMostAtOnce = 16;

// It gets what is for any port; the one that it has itself is any.
Result<sys::UniqueFd> ListenForLoopback(int family) {
  sys::UniqueFd socket = KATA_TRY(sys::MakeIpSocket(family, SOCK_STREAM));
  // The loopback may be down yet.
  KATA_TRY(sys::SetTransparent(socket.get(), family));
  KATA_TRY(sys::Bind(
      socket.get(),
      {.address = *sys::IpAddress::Parse(family == AF_INET ? "127.0.0.1" : "::1"), .port = 0}));
  if (::listen(socket.get(), kLoopbackBacklog) != 0) return FailErrno("listen");
  return socket;
}

void ResetConnection(sys::UniqueFd socket) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace

struct LoopbackDoor::Connection {
  sys::UniqueFd socket;
  bool watched = false;
  std::shared_ptr<stdio::OutputPump> from_guest;  // once it is there in the guest
  std::shared_ptr<stdio::InputPump> to_guest;     // likewise
  bool guest_has_ended = false;
  bool host_has_ended = false;
};

LoopbackDoor::LoopbackDoor(Sockets sockets, agent::AgentClient& agent, sys::EventLoop& loop)
    : sockets_(std::move(sockets)), agent_(agent), loop_(loop) {}

LoopbackDoor::~LoopbackDoor() = default;

Result<LoopbackDoor::Sockets> LoopbackDoor::MakeSockets(int ns) {
  return sys::RunInNetns(ns, [ns]() -> Result<Sockets> {
    Sockets sockets;
    sockets.listener4 = KATA_TRY(ListenForLoopback(AF_INET));
    // Hosts without IPv6 have none.
    if (auto listener = ListenForLoopback(AF_INET6)) sockets.listener6 = *std::move(listener);
    sockets.steering =
        KATA_TRY(sys::SteerLoopback(ns, sockets.listener4.get(), sockets.listener6.get()));
    return sockets;
  });
}

Result<std::shared_ptr<LoopbackDoor>> LoopbackDoor::Start(int ns, agent::AgentClient& agent,
                                                          sys::EventLoop& loop) {
  std::shared_ptr<LoopbackDoor> door(new LoopbackDoor(KATA_TRY(MakeSockets(ns)), agent, loop));
  loop.Post([door] {
    if (door->stopped_) return;
    for (const int listener : {door->sockets_.listener4.get(), door->sockets_.listener6.get()}) {
      if (listener < 0) continue;
      LogIfFailed(door->loop_.Add(
          listener, EPOLLIN, [self = door.get(), listener](uint32_t) { self->Accept(listener); }));
    }
  });
  return door;
}

void LoopbackDoor::Stop() {
  std::promise<void> done;
  loop_.Post([&] {
    stopped_ = true;
    for (const int listener : {sockets_.listener4.get(), sockets_.listener6.get()}) {
      if (listener >= 0) loop_.Remove(listener);
    }
    while (!connections_.empty()) End(connections_.begin()->first);
    done.set_value();
  });
  done.get_future().wait();
}

void LoopbackDoor::Accept(int listener) {
  for (int count = 0; count < kMostAtOnce; ++count) {
    auto accepted = sys::Accept(listener);
    if (!accepted) return;
    Admit(*std::move(accepted));
  }
}

void LoopbackDoor::Admit(sys::UniqueFd socket) {
  const auto wanted = sys::LocalAddress(socket.get());
  if (!wanted || connections_.size() >= kMost) return ResetConnection(std::move(socket));
  LogIfFailed(sys::SetOption(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1));
  const uint64_t id = next_id_++;
  auto connection = std::make_unique<Connection>();
  connection->socket = std::move(socket);
  connections_[id] = std::move(connection);
  agent_.OpenConnection(id, wanted->port, wanted->address.family == AF_INET6,
                        [weak = weak_from_this(), id](const Result<void>& opened) {
                          if (const auto self = weak.lock()) self->OnOpened(id, opened);
                        });
}

void LoopbackDoor::OnOpened(uint64_t id, const Result<void>& opened) {
  const auto found = connections_.find(id);
  if (stopped_ || found == connections_.end()) return;
  if (opened && Carry(id, *found->second)) return;
  ResetConnection(std::move(found->second->socket));
  End(id);
}

// The loop knows each descriptor once.
Result<void> LoopbackDoor::Carry(uint64_t id, Connection& connection) {
  auto reader = KATA_TRY(sys::Duplicate(connection.socket.get()));
  auto writer = KATA_TRY(sys::Duplicate(connection.socket.get()));
  const std::weak_ptr<LoopbackDoor> weak = weak_from_this();
  connection.from_guest = std::make_shared<stdio::OutputPump>(
      loop_, stdio::Output{.fd = std::move(writer)},
      [weak, id](std::move_only_function<void(Result<std::string>)> done) {
        if (const auto self = weak.lock()) self->agent_.ReadConnection(id, std::move(done));
      },
      [weak, id] {
        if (const auto self = weak.lock()) self->OnEnd(id, &Connection::guest_has_ended);
      },
      [weak, id] {
        if (const auto self = weak.lock()) self->EndSoon(id);
      });
  connection.to_guest = std::make_shared<stdio::InputPump>(
      loop_, std::move(reader), sys::UniqueFd(),
      [weak, id](std::string data, std::move_only_function<void(Result<void>)> taken) {
        const auto self = weak.lock();
        if (!self) return;
        self->agent_.WriteConnection(
            id, std::move(data),
            [weak, id, taken = std::move(taken)](Result<void> written) mutable {
              const bool broken = !written;
              taken(std::move(written));
              // Nobody listens to that any more, but what was said before may be on its way.
              const auto door = weak.lock();
              if (door && broken) door->OnEnd(id, &Connection::host_has_ended);
            });
      },
      [weak, id] {
        if (const auto self = weak.lock()) self->OnEnd(id, &Connection::host_has_ended);
      });
  WatchBreak(id, connection);
  connection.from_guest->Start();
  connection.to_guest->Start();
  return {};
}

// Who has broken it off waits for nothing any more, and what the guest says goes nowhere.
void LoopbackDoor::WatchBreak(uint64_t id, Connection& connection) {
  const int socket = connection.socket.get();
  connection.watched = loop_
                           .Add(socket, 0,
                                [this, id, socket](uint32_t events) {
                                  const auto found = connections_.find(id);
                                  if (found == connections_.end()) return;
                                  if ((events & EPOLLERR) != 0) return EndSoon(id);
                                  // Both have said all, which the pumps see, too.
                                  found->second->watched = false;
                                  loop_.Remove(socket);
                                })
                           .has_value();
}

void LoopbackDoor::OnEnd(uint64_t id, bool Connection::* side) {
  const auto found = connections_.find(id);
  if (stopped_ || found == connections_.end()) return;
  Connection& connection = *found->second;
  connection.*side = true;
  if (side == &Connection::guest_has_ended) {
    ::shutdown(connection.socket.get(), SHUT_WR);
  } else {
    agent_.WriteConnection(id, "", [](const Result<void>&) {});
  }
  if (connection.guest_has_ended && connection.host_has_ended) EndSoon(id);
}

// Not from inside of a pump.
void LoopbackDoor::EndSoon(uint64_t id) {
  loop_.Post([weak = weak_from_this(), id] {
    if (const auto self = weak.lock()) self->End(id);
  });
}

void LoopbackDoor::End(uint64_t id) {
  const auto ended = connections_.extract(id);
  if (ended.empty()) return;
  if (ended.mapped()->watched) loop_.Remove(ended.mapped()->socket.get());
  agent_.CloseConnectionAsync(id);
}

}  // namespace kata::sandbox
