// SPDX-License-Identifier: Apache-2.0
#include "host/network/echo_translator.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "base/log.h"
#include "host/network/packet_bytes.h"
#include "sys/packet_socket.h"
#include "sys/socket_address.h"

namespace kata::network {
namespace {

// ICMP_FILTER of linux/icmp.h, which cannot be there beside the C library's.
constexpr int kIcmpFilter = 1;
constexpr auto kEchoSilence = std::chrono::seconds(60);
constexpr auto kLookForSilentEcho = std::chrono::seconds(10);
constexpr int kMostEchoes = 32;
constexpr size_t kMostEcho = 65536;
constexpr size_t kEchoHeader = 8;
constexpr size_t kIdAt = 4;
constexpr size_t kSumAt = 2;

uint8_t RequestType(int family) { return family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST; }
uint8_t AnswerType(int family) { return family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY; }

// With another id. Of IPv6 the kernel makes the sum.
std::string WithId(std::string_view message, uint16_t id, int family) {
  std::string changed(message);
  SetWord(&changed, kIdAt, id);
  SetWord(&changed, kSumAt, 0);
  if (family == AF_INET) SetWord(&changed, kSumAt, ChecksumOf(AddUp(changed)));
  return changed;
}

struct Echo {
  sys::IpAddress from;
  sys::IpAddress to;
  std::string message;  // from the header of ICMP on
};

// Behind the header of IPv4 that a raw socket shows.
std::optional<std::string> Ipv4Payload(std::string_view packet) {
  constexpr size_t kLeast = 20;
  if (packet.size() < kLeast) return std::nullopt;
  const size_t header = 4UL * (ByteAt(packet, 0) & 0xf);
  if (header < kLeast || packet.size() < header) return std::nullopt;
  return std::string(packet.substr(header));
}

// Nothing: no more are there. Without a message: not an echo of this type.
std::optional<Echo> ReceiveEcho(int socket, int family, uint8_t type) {
  static thread_local std::array<char, kMostEcho> data;
  const auto received = sys::ReceivePacket(socket, data);
  if (!received) return std::nullopt;
  if (!received->from) return Echo{};
  const std::string_view packet(data.data(), received->size);
  Echo echo{.from = received->from->address, .to = {}, .message = {}};
  if (family == AF_INET) {
    auto payload = Ipv4Payload(packet);
    if (!payload) return Echo{};
    echo.to = *sys::IpAddress::FromBytes(packet.substr(16, 4));
    echo.message = *std::move(payload);
  } else {
    if (received->to) echo.to = received->to->address;
    echo.message = packet;
  }
  const bool right =
      echo.message.size() >= kEchoHeader && ByteAt(echo.message, 0) == type && echo.message[1] == 0;
  if (!right) echo.message.clear();
  return echo;
}

// Gets messages of this type only.
Result<sys::UniqueFd> MakeRaw(int family, uint8_t type) {
  const int protocol = family == AF_INET ? static_cast<int>(IPPROTO_ICMP) : IPPROTO_ICMPV6;
  sys::UniqueFd socket(::socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!socket) return FailErrno("socket", "icmp");
  int failed = 0;
  if (family == AF_INET) {
    const uint32_t filter = ~(1U << type);
    failed = ::setsockopt(socket.get(), SOL_RAW, kIcmpFilter, &filter, sizeof filter);
  } else {
    icmp6_filter filter{};
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(type, &filter);
    failed = ::setsockopt(socket.get(), SOL_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  }
  if (failed != 0) return FailErrno("setsockopt", "icmp");
  return socket;
}

}  // namespace

Result<sys::UniqueFd> EchoTranslator::MakeInner(int family) {
  sys::UniqueFd socket = KATA_TRY(MakeRaw(family, RequestType(family)));
  KATA_TRY(sys::SetTransparent(socket.get(), family));
  if (family == AF_INET6) {
    KATA_TRY(sys::SetOption(socket.get(), SOL_IPV6, IPV6_RECVPKTINFO, 1));
  }
  return socket;
}

EchoTranslator::EchoTranslator(sys::EventLoop& loop, EchoSockets sockets)
    : loop_(loop), sockets_(std::move(sockets)) {
  // Others of this host ask as well, and each sees what the others are answered.
  (void)!::getrandom(&next_id_, sizeof next_id_, 0);
}

EchoTranslator::~EchoTranslator() {
  loop_.Cancel(timer_);
  for (const int fd : {sockets_.socket4.get(), sockets_.socket6.get()}) {
    if (fd >= 0) loop_.Remove(fd);
  }
  while (!asked_.empty()) Forget(asked_.begin());
}

Result<void> EchoTranslator::Start() {
  for (const int family : {AF_INET, AF_INET6}) {
    const int fd = family == AF_INET ? sockets_.socket4.get() : sockets_.socket6.get();
    if (fd < 0) continue;
    KATA_TRY(loop_.Add(fd, EPOLLIN, [this, fd, family](uint32_t) { OnRequests(fd, family); }));
  }
  return {};
}

void EchoTranslator::OnRequests(int socket, int family) {
  for (int turn = 0; turn < kMostEchoes; ++turn) {
    const auto echo = ReceiveEcho(socket, family, RequestType(family));
    if (!echo) return;
    if (echo->message.empty() || !IsReachable(echo->to)) continue;
    const auto asked = Find(echo->from, echo->to, WordAt(echo->message, kIdAt));
    if (!asked) continue;
    (*asked)->used = sys::EventLoop::Clock::now();
    const std::string message = WithId(echo->message, (*asked)->id, family);
    (void)::send((*asked)->outer.get(), message.data(), message.size(), MSG_DONTWAIT);
  }
}

Result<EchoTranslator::Place> EchoTranslator::Find(const sys::IpAddress& guest,
                                                   const sys::IpAddress& whom, uint16_t guest_id) {
  const auto found = std::ranges::find_if(asked_, [&](const Asked& each) {
    return each.guest == guest && each.whom == whom && each.guest_id == guest_id;
  });
  if (found != asked_.end()) return found;
  if (asked_.size() >= kMostAsked) Forget(asked_.begin());
  Asked made{.guest = guest,
             .whom = whom,
             .guest_id = guest_id,
             .id = next_id_++,
             .outer = {},
             .used = {}};
  made.outer = KATA_TRY(MakeRaw(whom.family, AnswerType(whom.family)));
  KATA_TRY(sys::Connect(made.outer.get(), {.address = whom, .port = 0}));
  const int fd = made.outer.get();
  const Place place = asked_.insert(asked_.end(), std::move(made));
  LogIfFailed(loop_.Add(fd, EPOLLIN, [this, place](uint32_t) { OnAnswers(place); }));
  if (asked_.size() == 1) timer_ = loop_.RunAfter(kLookForSilentEcho, [this] { ForgetSilent(); });
  return place;
}

void EchoTranslator::OnAnswers(Place asked) {
  const int family = asked->whom.family;
  const int inner = family == AF_INET ? sockets_.socket4.get() : sockets_.socket6.get();
  for (int turn = 0; turn < kMostEchoes; ++turn) {
    const auto echo = ReceiveEcho(asked->outer.get(), family, AnswerType(family));
    if (!echo) return;
    if (echo->message.empty() || WordAt(echo->message, kIdAt) != asked->id) continue;
    sys::SendPacket(inner, WithId(echo->message, asked->guest_id, family), asked->whom,
                    {.address = asked->guest, .port = 0});
  }
}

void EchoTranslator::Forget(Place asked) {
  loop_.Remove(asked->outer.get());
  asked_.erase(asked);
}

void EchoTranslator::ForgetSilent() {
  const auto limit = sys::EventLoop::Clock::now() - kEchoSilence;
  for (auto place = asked_.begin(); place != asked_.end();) {
    const auto next = std::next(place);
    if (place->used < limit) Forget(place);
    place = next;
  }
  if (!asked_.empty()) timer_ = loop_.RunAfter(kLookForSilentEcho, [this] { ForgetSilent(); });
}

}  // namespace kata::network
