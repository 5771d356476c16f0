// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/qmp_client.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "sys/sockets.h"

namespace kata::hypervisor::qemu {
namespace {

using nlohmann::json;

Error FromQemu(const QmpError& error) {
  const Code code = error.error_class == "DeviceNotFound" || error.error_class == "CommandNotFound"
                        ? Code::kNotFound
                        : Code::kFailedPrecondition;
  return Error(code, error.description.substr(0, 1024));
}

}  // namespace

std::shared_ptr<QmpClient> QmpClient::Create(sys::EventLoop& loop, sys::UniqueFd socket,
                                             EventHandler on_event) {
  (void)sys::SetNonBlocking(socket.get());
  std::shared_ptr<QmpClient> client(new QmpClient(loop, std::move(socket), std::move(on_event)));
  loop.Post([client] {
    {
      const MutexLock lock(client->mutex_);
      if (client->broken_) return;
    }
    (void)client->loop_.Add(client->socket_.get(), EPOLLIN, [client](uint32_t) { client->Pump(); });
  });
  return client;
}

Result<QmpGreeting> QmpClient::Handshake(Deadline deadline) {
  {
    const MutexLock lock(mutex_);
    if (!changed_.WaitUntil(mutex_, deadline,
                            [this]() KATA_REQUIRES(mutex_) { return greeting_ || broken_; })) {
      return Fail(Code::kDeadlineExceeded, "QEMU did not greet on its monitor in time");
    }
    if (!greeting_) return Fail(Code::kUnavailable, *broken_);
  }
  KATA_TRY(Call("qmp_capabilities", nullptr, deadline));
  const MutexLock lock(mutex_);
  return *greeting_;
}

Result<void> QmpClient::Send(std::string_view line, int fd, Deadline deadline) {
  if (!writing_.Begin(deadline)) {
    return Fail(Code::kDeadlineExceeded, "it does not read an earlier command");
  }
  const CallTurn turn(writing_);
  {
    const MutexLock lock(mutex_);
    if (broken_) return Fail(Code::kUnavailable, *broken_);
  }
  const auto sent = fd >= 0 ? sys::SendWithFd(socket_.get(), line, fd, deadline)
                            : sys::SendAll(socket_.get(), line, deadline);
  if (sent) return {};
  // Half a command may have gone out; nothing after it would be understood.
  const MutexLock lock(mutex_);
  broken_ = broken_.value_or(sent.error().message());
  changed_.NotifyAll();
  return Fail(Code::kUnavailable, *broken_);
}

Result<json> QmpClient::Call(std::string_view command, const json& arguments, Deadline deadline,
                             int fd) {
  uint64_t id = 0;
  {
    const MutexLock lock(mutex_);
    if (broken_) return Fail(Code::kUnavailable, fmt::format("QEMU {}: {}", command, *broken_));
    id = next_id_++;
    calls_.emplace(id, PendingCall{});
  }
  const Result<void> sent = Send(QmpCodec::Encode(id, command, arguments), fd, deadline);
  const MutexLock lock(mutex_);
  if (!sent) {
    calls_.erase(id);
    return std::unexpected(sent.error().Within(fmt::format("QEMU {}", command)));
  }
  const bool answered = changed_.WaitUntil(mutex_, deadline, [&]() KATA_REQUIRES(mutex_) {
    return broken_ || calls_.at(id).answer.has_value();
  });
  auto node = calls_.extract(id);
  if (node.mapped().answer) {
    if (!*node.mapped().answer) {
      return std::unexpected(
          std::move(*node.mapped().answer).error().Within(fmt::format("QEMU {}", command)));
    }
    return *std::move(*node.mapped().answer);
  }
  if (!answered) {
    return Fail(Code::kDeadlineExceeded, fmt::format("QEMU {}: no answer in time", command));
  }
  return Fail(Code::kUnavailable, fmt::format("QEMU {}: {}", command, *broken_));
}

void QmpClient::Pump() {
  const MutexLock read_lock(read_mutex_);
  char buffer[16384];
  // Bounded, so that a monitor that never falls silent does not keep the loop for itself.
  for (int rounds = 0; rounds < 16; ++rounds) {
    const ssize_t n = sys::RetryOnEintr(
        [&] { return ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT); });
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return Break("it has closed its monitor");
    auto messages = codec_.Feed({buffer, static_cast<size_t>(n)});
    if (!messages) return Break(messages.error().message());
    for (QmpMessage& message : *messages) Handle(std::move(message));
  }
}

void QmpClient::Handle(QmpMessage message) {
  if (const auto* event = std::get_if<QmpEvent>(&message)) {
    if (on_event_) on_event_(*event);
    return;
  }
  const MutexLock lock(mutex_);
  if (const auto* greeting = std::get_if<QmpGreeting>(&message)) {
    greeting_ = *greeting;
  } else if (auto* answer = std::get_if<QmpReturn>(&message)) {
    const auto call = calls_.find(answer->id);
    if (call != calls_.end()) call->second.answer = std::move(answer->value);
  } else if (const auto* error = std::get_if<QmpError>(&message)) {
    const auto call = calls_.find(error->id);
    if (call != calls_.end()) call->second.answer = std::unexpected(FromQemu(*error));
  }
  changed_.NotifyAll();
}

void QmpClient::Break(std::string reason) {
  {
    const MutexLock lock(mutex_);
    if (!broken_) broken_ = std::move(reason);
    changed_.NotifyAll();
  }
  loop_.Post([self = shared_from_this()] { self->loop_.Remove(self->socket_.get()); });
}

void QmpClient::Close() { Break("the VM is being stopped"); }

}  // namespace kata::hypervisor::qemu
