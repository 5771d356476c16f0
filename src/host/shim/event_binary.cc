// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "host/shim/event_transport.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::shim {
namespace {

using namespace std::chrono_literals;

constexpr auto kRunTimeout = 10s;

class BinaryTransport : public EventTransport {
 public:
  BinaryTransport(sys::EventLoop& loop, std::string binary, std::string address)
      : loop_(loop),
        binary_(std::move(binary)),
        address_(std::move(address)),
        alive_(std::make_shared<bool>(true)) {}
  ~BinaryTransport() override { Forget(); }

  void Send(const events::Envelope& envelope, Done done) override {
    done_ = std::move(done);
    if (auto started = Start(envelope); !started) Finish(std::move(started).error());
  }

 private:
  Result<void> Start(const events::Envelope& envelope) {
    const sys::UniqueFd input = KATA_TRY(sys::MakeTextFile(envelope.event().SerializeAsString()));
    sys::Command command;
    command.argv = {binary_,   "--address",      address_,      "publish",
                    "--topic", envelope.topic(), "--namespace", envelope.namespace_()};
    command.stdin_fd = input.get();
    child_ = KATA_TRY(sys::ChildProcess::Spawn(command));
    timer_ = loop_.RunAfter(kRunTimeout, [this] {
      timer_.reset();
      (void)child_.Signal(SIGKILL);
    });
    return loop_.Add(child_.pidfd(), EPOLLIN, [this](uint32_t) { OnExit(); });
  }

  void OnExit() {
    const auto status = child_.Wait(Deadline::After(0s));
    Forget();
    if (!status) return Finish(status.error());
    if (!status->Success()) return Finish(Error(Code::kUnavailable, status->Describe()));
    Finish(std::nullopt);
  }

  void Forget() {
    if (timer_) loop_.Cancel(*timer_);
    timer_.reset();
    if (child_.valid()) loop_.Remove(child_.pidfd());
    child_ = {};
  }

  // The program's failure does not say whether containerd is absent or refuses.
  void Finish(std::optional<Error> error) {
    Forget();
    loop_.Post([this, alive = std::weak_ptr(alive_), error = std::move(error)]() mutable {
      if (alive.expired() || !done_) return;
      Done done = std::exchange(done_, nullptr);
      if (!error) return done({});
      done(std::unexpected(std::move(*error)
                               .Within(fmt::format("run \"{}\"", binary_))
                               .WithCode(Code::kUnavailable)));
    });
  }

  sys::EventLoop& loop_;
  const std::string binary_;
  const std::string address_;
  sys::ChildProcess child_;
  std::optional<sys::EventLoop::TimerId> timer_;
  Done done_;
  std::shared_ptr<bool> alive_;  // gone with this object; posted work looks at it first
};

}  // namespace

std::unique_ptr<EventTransport> MakeBinaryTransport(sys::EventLoop& loop, std::string binary,
                                                    std::string address) {
  return std::make_unique<BinaryTransport>(loop, std::move(binary), std::move(address));
}

}  // namespace kata::shim
