// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/dns_relay.h"

#include <sys/socket.h>

#include <array>
#include <utility>

namespace kata::guest {
namespace {

constexpr size_t kMaxMessage = 4096;
constexpr size_t kMaxQuestions = 256;
constexpr size_t kMaxAskers = 1024;

}  // namespace

Result<void> DnsRelay::Serve(sys::UniqueFd socket) {
  Stop();
  KATA_TRY(loop_.Add(socket.get(), EPOLLIN, [this](uint32_t) { OnQuestions(); }));
  socket_ = std::move(socket);
  return {};
}

void DnsRelay::Stop() {
  if (!socket_) return;
  loop_.Remove(socket_.get());
  socket_.Reset();
  questions_.clear();
  askers_.clear();
}

void DnsRelay::OnQuestions() {
  std::array<char, kMaxMessage> buffer;
  for (;;) {
    sockaddr_in asker{};
    socklen_t length = sizeof asker;
    const ssize_t size = ::recvfrom(socket_.get(), buffer.data(), buffer.size(), 0,
                                    reinterpret_cast<sockaddr*>(&asker), &length);
    if (size < 0) break;
    // Resolvers ask again.
    if (questions_.size() >= kMaxQuestions) continue;
    if (askers_.size() >= kMaxAskers) askers_.erase(askers_.begin());
    DnsMessage question;
    question.set_id(next_id_++);
    question.set_message(buffer.data(), static_cast<size_t>(size));
    askers_[question.id()] = asker;
    questions_.push_back(std::move(question));
  }
  Deliver();
}

void DnsRelay::Next(Wanted wanted, Listener listener) {
  wanted_ = std::move(wanted);
  listener_ = std::move(listener);
  Deliver();
}

void DnsRelay::Deliver() {
  if (questions_.empty() || !listener_ || !wanted_()) return;
  const DnsMessage question = std::move(questions_.front());
  questions_.pop_front();
  std::exchange(listener_, nullptr)(question);
}

void DnsRelay::Answer(const DnsMessage& answer) {
  const auto asker = askers_.find(answer.id());
  if (asker == askers_.end() || !socket_) return;
  (void)::sendto(socket_.get(), answer.message().data(), answer.message().size(), MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&asker->second), sizeof asker->second);
  askers_.erase(asker);
}

}  // namespace kata::guest
