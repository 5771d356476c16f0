// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/loopback_connections.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "sys/files.h"

namespace kata::guest {

struct LoopbackConnections::Connection {
  uint16_t port = 0;
  std::vector<int> families;  // to be tried, the last one first
  MakeSocket make;
  Done opened;                        // until it is
  sys::UniqueFd socket;               // kept, to say that there is no more
  std::unique_ptr<InputStream> in;    // once it is open
  std::unique_ptr<OutputStream> out;  // likewise
};

LoopbackConnections::LoopbackConnections(sys::EventLoop& loop, size_t most)
    : loop_(loop), most_(most) {}

LoopbackConnections::~LoopbackConnections() { CloseAll(); }

Result<LoopbackConnections::Connection*> LoopbackConnections::Find(uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || !found->second->out) {
    return Fail(Code::kNotFound, fmt::format("connection {}: there is none", id));
  }
  return found->second.get();
}

void LoopbackConnections::Open(uint64_t id, uint16_t port, bool ipv6, MakeSocket make, Done done) {
  if (connections_.contains(id)) {
    return done(Fail(Code::kAlreadyExists, fmt::format("connection {}: there is one", id)));
  }
  if (connections_.size() >= most_) {
    return done(Fail(Code::kResourceExhausted, "too many connections to the loopback"));
  }
  auto connection = std::make_unique<Connection>();
  connection->port = port;
  connection->families =
      ipv6 ? std::vector<int>{AF_INET, AF_INET6} : std::vector<int>{AF_INET6, AF_INET};
  connection->make = std::move(make);
  connection->opened = std::move(done);
  connections_[id] = std::move(connection);
  Try(id);
}

void LoopbackConnections::Try(uint64_t id) {
  Connection& connection = *connections_.at(id);
  const int family = connection.families.back();
  connection.families.pop_back();
  auto made = connection.make(family);
  if (!made) return TryOther(id, made.error());
  connection.socket = *std::move(made);
  const sys::SocketAddress to{
      .address = *sys::IpAddress::Parse(family == AF_INET6 ? "::1" : "127.0.0.1"),
      .port = connection.port};
  auto connected = sys::Connect(connection.socket.get(), to);
  if (!connected && connected.error().error_number() != EINPROGRESS) {
    return TryOther(id, connected.error());
  }
  auto watched =
      loop_.Add(connection.socket.get(), EPOLLOUT, [this, id](uint32_t) { OnConnected(id); });
  if (!watched) TryOther(id, watched.error());
}

void LoopbackConnections::TryOther(uint64_t id, Error error) {
  const auto found = connections_.find(id);
  found->second->socket.Reset();
  if (!found->second->families.empty()) return Try(id);
  auto opened = std::move(found->second->opened);
  connections_.erase(found);
  opened(std::unexpected(std::move(error)));
}

void LoopbackConnections::OnConnected(uint64_t id) {
  Connection& connection = *connections_.at(id);
  loop_.Remove(connection.socket.get());
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(connection.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  if (error != 0) {
    return TryOther(id,
                    Error::FromErrno("connect", fmt::format("port {}", connection.port), error));
  }
  if (auto established = Establish(connection); !established)
    return TryOther(id, established.error());
  std::exchange(connection.opened, nullptr)({});
}

// The loop knows each descriptor once.
Result<void> LoopbackConnections::Establish(Connection& connection) {
  KATA_TRY(sys::SetOption(connection.socket.get(), IPPROTO_TCP, TCP_NODELAY, 1));
  auto in = KATA_TRY(sys::Duplicate(connection.socket.get()));
  auto out = KATA_TRY(sys::Duplicate(connection.socket.get()));
  connection.families.clear();
  connection.in = std::make_unique<InputStream>(loop_, std::move(in), false);
  connection.out = std::make_unique<OutputStream>(loop_, std::move(out));
  return {};
}

void LoopbackConnections::Read(uint64_t id, size_t limit, OutputStream::Wanted wanted,
                               OutputStream::Done done) {
  auto connection = Find(id);
  if (!connection) return done(std::unexpected(std::move(connection).error()));
  (*connection)->out->Read(limit, std::move(wanted), std::move(done));
}

void LoopbackConnections::Write(uint64_t id, std::string data, Done done) {
  auto connection = Find(id);
  if (!connection) return done(std::unexpected(std::move(connection).error()));
  if (data.empty()) {
    // Who says so has been told that all is written.
    ::shutdown((*connection)->socket.get(), SHUT_WR);
    return done({});
  }
  (*connection)
      ->in->Write(std::move(data), [done = std::move(done)](Result<size_t> written) mutable {
        if (!written) return done(std::unexpected(std::move(written).error()));
        done({});
      });
}

void LoopbackConnections::Close(uint64_t id) {
  // Those who wait are called when it is no longer known.
  auto closed = connections_.extract(id);
  if (closed.empty()) return;
  Connection& connection = *closed.mapped();
  if (!connection.opened) return;
  loop_.Remove(connection.socket.get());
  connection.opened(Fail(Code::kAborted, "the connection was closed"));
}

void LoopbackConnections::CloseAll() {
  while (!connections_.empty()) Close(connections_.begin()->first);
}

}  // namespace kata::guest
