// SPDX-License-Identifier: Apache-2.0
#include "sys/datagram_relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

#include "base/log.h"
#include "sys/packet_socket.h"

namespace kata::sys {
namespace {

using std::chrono::seconds;

// As long as netfilter keeps a flow that both sides have spoken in.
constexpr auto kSilence = seconds(120);
constexpr auto kLookForSilent = seconds(10);
// Moved before others get their turn.
constexpr int kMostAtOnce = 64;

// The next datagram; nothing where there is none.
std::optional<std::span<const char>> Next(int socket, std::span<char> room) {
  for (;;) {
    const ssize_t size = ::recv(socket, room.data(), room.size(), MSG_DONTWAIT);
    if (size >= 0) return room.first(static_cast<size_t>(size));
    // Nobody is there, which is not told on: it would be by ICMP.
    if (errno != ECONNREFUSED) return std::nullopt;
  }
}

}  // namespace

DatagramRelay::~DatagramRelay() {
  loop_.Cancel(timer_);
  while (!pairs_.empty()) Forget(pairs_.begin());
}

void DatagramRelay::Add(const Key& key, Near near, UniqueFd far) {
  if (pairs_.size() >= most_) Forget(pairs_.begin());
  const auto place = pairs_.insert(
      pairs_.end(), Pair{.key = key, .near = std::move(near), .far = std::move(far), .used = {}});
  by_key_[key] = place;
  Use(place);
  if (place->near.own.valid()) {
    LogIfFailed(
        loop_.Add(place->near.own.get(), EPOLLIN, [this, place](uint32_t) { OnNear(place); }));
  }
  LogIfFailed(loop_.Add(place->far.get(), EPOLLIN, [this, place](uint32_t) { OnFar(place); }));
  if (pairs_.size() != 1) return;
  // The earlier one may still run, where all were forgotten before it came.
  loop_.Cancel(timer_);
  timer_ = loop_.RunAfter(kLookForSilent, [this] { ForgetSilent(); });
}

void DatagramRelay::Send(const Key& key, std::span<const char> data) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  Use(found->second);
  (void)::send(found->second->far.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void DatagramRelay::Use(Place pair) {
  pair->used = EventLoop::Clock::now();
  pairs_.splice(pairs_.end(), pairs_, pair);
}

void DatagramRelay::OnNear(Place pair) {
  Use(pair);
  std::array<char, kMostDatagram> room;
  for (int turn = 0; turn < kMostAtOnce; ++turn) {
    const auto data = Next(pair->near.own.get(), room);
    if (!data) return;
    (void)::send(pair->far.get(), data->data(), data->size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

void DatagramRelay::OnFar(Place pair) {
  Use(pair);
  std::array<char, kMostDatagram> room;
  for (int turn = 0; turn < kMostAtOnce; ++turn) {
    const auto data = Next(pair->far.get(), room);
    if (!data) return;
    if (pair->near.own.valid()) {
      (void)::send(pair->near.own.get(), data->data(), data->size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
      SendPacket(pair->near.door, *data, pair->key.second.address, pair->key.first);
    }
  }
}

void DatagramRelay::Forget(Place pair) {
  if (pair->near.own.valid()) loop_.Remove(pair->near.own.get());
  loop_.Remove(pair->far.get());
  by_key_.erase(pair->key);
  pairs_.erase(pair);
}

void DatagramRelay::ForgetDoor(int door) {
  for (auto pair = pairs_.begin(); pair != pairs_.end();) {
    const auto next = std::next(pair);
    if (!pair->near.own.valid() && pair->near.door == door) Forget(pair);
    pair = next;
  }
}

void DatagramRelay::ForgetSilent() {
  const auto limit = EventLoop::Clock::now() - kSilence;
  while (!pairs_.empty() && pairs_.front().used < limit) Forget(pairs_.begin());
  if (!pairs_.empty()) timer_ = loop_.RunAfter(kLookForSilent, [this] { ForgetSilent(); });
}

}  // namespace kata::sys
