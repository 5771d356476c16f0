// SPDX-License-Identifier: Apache-2.0
#include "host/network/tcp_translator.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/log.h"
#include "sys/sockets.h"

namespace kata::network {
namespace {

// As the tap has it: without the count of buffers.
constexpr size_t kTapHeader = 10;
constexpr size_t kMostFrame = 2048;
// Longer than a kernel tries to connect.
constexpr auto kMostToConnect = std::chrono::minutes(3);
// Looked at before others get their turn.
constexpr int kMostRequests = 64;

}  // namespace

TcpTranslator::TcpTranslator(sys::EventLoop& loop, TcpSockets sockets, const Services& services,
                             size_t most)
    : loop_(loop), sockets_(std::move(sockets)), services_(services), most_(most) {}

TcpTranslator::~TcpTranslator() {
  for (const int fd :
       {sockets_.requests.get(), sockets_.listener4.get(), sockets_.listener6.get()}) {
    if (fd >= 0) loop_.Remove(fd);
  }
  while (!pending_.empty()) Forget(pending_.begin()->first);
}

Result<void> TcpTranslator::Start() {
  KATA_TRY(loop_.Add(sockets_.requests.get(), EPOLLIN, [this](uint32_t) { OnRequests(); }));
  for (const int listener : {sockets_.listener4.get(), sockets_.listener6.get()}) {
    if (listener < 0) continue;
    KATA_TRY(loop_.Add(listener, EPOLLIN, [this, listener](uint32_t) { Accept(listener); }));
  }
  return {};
}

void TcpTranslator::OnRequests() {
  std::array<char, kMostFrame> buffer{};
  for (int turn = 0; turn < kMostRequests; ++turn) {
    const ssize_t size = ::read(sockets_.requests.get(), buffer.data(), buffer.size());
    if (size <= 0) return;
    OnRequest({buffer.data(), static_cast<size_t>(size)});
  }
}

void TcpTranslator::OnRequest(std::string_view frame) {
  if (frame.size() < kTapHeader) return;
  const std::string_view bare = frame.substr(kTapHeader);
  const auto request = ParseConnectionRequest(bare);
  if (!request) return;
  const Key key{request->from, request->to};
  if (const auto found = pending_.find(key); found != pending_.end()) {
    // It asks again: the answer to an earlier one may be lost.
    if (found->second.connected) Forward(found->second.frame);
    return;
  }
  auto outer = Connect(*request);
  if (!outer) return Refuse(bare, *request);
  const int fd = outer->get();
  std::string whole(kTapHeader, '\0');
  whole += bare;
  pending_.emplace(key,
                   Pending{.outer = *std::move(outer),
                           .request = *request,
                           .frame = std::move(whole),
                           .timer = loop_.RunAfter(kMostToConnect, [this, key] { Forget(key); })});
  LogIfFailed(loop_.Add(fd, EPOLLOUT, [this, key](uint32_t) { OnConnected(key); }));
}

Result<sys::UniqueFd> TcpTranslator::Connect(const ConnectionRequest& request) {
  if (pending_.size() + relays_.size() >= most_) {
    return Fail(Code::kResourceExhausted, "too many connections");
  }
  const sys::SocketAddress to = KATA_TRY(OuterAddress(sys::Protocol::kTcp, request.to, services_));
  sys::UniqueFd outer = KATA_TRY(sys::MakeIpSocket(to.address.family, SOCK_STREAM));
  KATA_TRY(sys::SetOption(outer.get(), IPPROTO_TCP, TCP_NODELAY, 1));
  auto connected = sys::Connect(outer.get(), to);
  if (!connected && connected.error().error_number() != EINPROGRESS) {
    return std::unexpected(std::move(connected).error());
  }
  return outer;
}

void TcpTranslator::OnConnected(const Key& key) {
  const auto found = pending_.find(key);
  if (found == pending_.end()) return;
  Pending& pending = found->second;
  loop_.Remove(pending.outer.get());
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(pending.outer.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0) {
    pending.connected = true;
    return Forward(pending.frame);
  }
  // Who does not answer at all does not answer the guest either.
  if (error != ETIMEDOUT) {
    Refuse(std::string_view(pending.frame).substr(kTapHeader), pending.request);
  }
  Forget(Key(key));
}

// A frame that gets lost is sent again.
void TcpTranslator::Forward(const std::string& frame) {
  (void)!::write(sockets_.requests.get(), frame.data(), frame.size());
}

void TcpTranslator::Refuse(std::string_view frame, const ConnectionRequest& request) {
  const std::string refusal = RefusalOf(frame, request);
  (void)::send(sockets_.link.get(), refusal.data(), refusal.size(), MSG_DONTWAIT);
}

void TcpTranslator::Forget(const Key& key) {
  const auto found = pending_.find(key);
  if (found == pending_.end()) return;
  loop_.Cancel(found->second.timer);
  loop_.Remove(found->second.outer.get());
  pending_.erase(found);
}

void TcpTranslator::Accept(int listener) {
  auto accepted = sys::Accept(listener);
  if (!accepted) return;
  const auto from = sys::PeerAddress(accepted->get());
  const auto to = sys::LocalAddress(accepted->get());
  if (!from || !to) return;
  const auto found = pending_.find({*from, *to});
  if (found == pending_.end() || !found->second.connected) return;
  sys::UniqueFd outer = std::move(found->second.outer);
  loop_.Cancel(found->second.timer);
  pending_.erase(found);
  LogIfFailed(sys::SetOption(accepted->get(), IPPROTO_TCP, TCP_NODELAY, 1));
  Relay(*std::move(accepted), std::move(outer));
}

void TcpTranslator::Relay(sys::UniqueFd one, sys::UniqueFd other) {
  const auto place = relays_.emplace(relays_.end(), loop_, std::move(one), std::move(other));
  place->Start([this, place] { relays_.erase(place); });
}

}  // namespace kata::network
