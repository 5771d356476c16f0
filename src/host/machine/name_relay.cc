// SPDX-License-Identifier: Apache-2.0
#include "host/machine/name_relay.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include "base/log.h"
#include "sys/files.h"
#include "sys/netns.h"

namespace kata::sandbox {
namespace {

constexpr uint16_t kDnsPort = 53;
constexpr size_t kHeader = 12;
constexpr size_t kMaxMessage = 4096;

Result<sys::UniqueFd> ConnectToServer() {
  sys::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno("socket", "udp");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kDnsPort);
  ::inet_pton(AF_INET, NameRelay::kServer, &address.sin_addr);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("connect", NameRelay::kServer);
  }
  return fd;
}

}  // namespace

bool NameRelay::ServerIsIn(int ns) {
  const auto sockets =
      sys::RunInNetns(ns, [] { return sys::ReadFile("/proc/thread-self/net/udp"); });
  in_addr address{};
  ::inet_pton(AF_INET, kServer, &address);
  // The table shows addresses as numbers of this machine.
  return sockets && sockets->find(fmt::format(" {:08X}:", address.s_addr)) != std::string::npos;
}

Result<std::shared_ptr<NameRelay>> NameRelay::Start(int ns, agent::AgentClient& agent,
                                                    sys::EventLoop& loop) {
  sys::UniqueFd socket = KATA_TRY(sys::RunInNetns(ns, &ConnectToServer));
  KATA_TRY(agent.ListenForNames(kServer));
  std::shared_ptr<NameRelay> relay(new NameRelay(std::move(socket), agent, loop));
  loop.Post([relay] {
    if (relay->stopped_) return;
    LogIfFailed(relay->loop_.Add(relay->socket_.get(), EPOLLIN,
                                 [self = relay.get()](uint32_t) { self->OnAnswers(); }));
    relay->FetchNext();
  });
  return relay;
}

void NameRelay::Stop() {
  std::promise<void> done;
  loop_.Post([&] {
    stopped_ = true;
    loop_.Remove(socket_.get());
    done.set_value();
  });
  done.get_future().wait();
}

void NameRelay::FetchNext() {
  agent_.NextName([weak = weak_from_this()](Result<guest::DnsMessage> question) {
    const auto self = weak.lock();
    // Without an answer the machine has ended.
    if (!self || self->stopped_ || !question) return;
    self->Ask(*question);
    self->FetchNext();
  });
}

void NameRelay::Ask(const guest::DnsMessage& question) {
  std::string message = question.message();
  if (message.size() < kHeader || message.size() > kMaxMessage) return;
  const uint16_t number = next_;
  next_ = static_cast<uint16_t>((next_ + 1) % kNumbers);
  Asked asked{.id = question.id(), .name = {message[0], message[1]}};
  asked_[number] = asked;
  const uint16_t wire = htons(number);
  std::memcpy(message.data(), &wire, sizeof wire);
  // What gets lost is asked again.
  (void)::send(socket_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void NameRelay::OnAnswers() {
  std::string buffer(kMaxMessage, '\0');
  for (;;) {
    const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0) {
      // One that tells of a server that has gone is followed by others.
      if (errno == ECONNREFUSED) continue;
      return;
    }
    if (static_cast<size_t>(size) < kHeader) continue;
    uint16_t wire = 0;
    std::memcpy(&wire, buffer.data(), sizeof wire);
    const size_t number = ntohs(wire);
    if (number >= kNumbers || !asked_[number]) continue;
    const Asked asked = *std::exchange(asked_[number], std::nullopt);
    std::memcpy(buffer.data(), asked.name.data(), asked.name.size());
    agent_.AnswerName(asked.id, buffer.substr(0, static_cast<size_t>(size)));
  }
}

}  // namespace kata::sandbox
