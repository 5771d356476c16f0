// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <utility>

#include "host/shim/event_transport.h"
#include "sys/sockets.h"
#include "ttrpc/client.h"

namespace kata::shim {
namespace {

using namespace std::chrono_literals;

constexpr char kService[] = "containerd.services.events.ttrpc.v1.Events";
constexpr char kMethod[] = "Forward";
constexpr char kNamespaceKey[] = "containerd-namespace-ttrpc";
constexpr auto kCallTimeout = 5s;

// All that is not an answer of containerd's counts as its absence.
Error AsUnavailable(Error error) { return std::move(error).WithCode(Code::kUnavailable); }

bool IsAnswer(Code code) {
  return code != Code::kUnavailable && code != Code::kDeadlineExceeded && code != Code::kCancelled;
}

class TtrpcTransport : public EventTransport {
 public:
  TtrpcTransport(sys::EventLoop& loop, std::string address)
      : loop_(loop), path_(std::move(address)), alive_(std::make_shared<bool>(true)) {
    if (path_.starts_with("unix://")) path_.erase(0, sizeof "unix://" - 1);
  }

  void Send(const events::Envelope& envelope, Done done) override {
    done_ = std::move(done);
    if (auto connected = Connect(); !connected) {
      return Finish(std::unexpected(AsUnavailable(std::move(connected).error())));
    }
    events::ForwardRequest request;
    *request.mutable_envelope() = envelope;
    client_->CallAsync(kService, kMethod, request.SerializeAsString(),
                       Deadline::After(kCallTimeout),
                       [this, alive = std::weak_ptr(alive_)](Result<std::string> answer) {
                         if (alive.expired()) return;
                         if (answer) return Finish({});
                         if (IsAnswer(answer.error().code()))
                           return Finish(std::unexpected(answer.error()));
                         broken_ = true;
                         Finish(std::unexpected(AsUnavailable(std::move(answer).error())));
                       },
                       {{kNamespaceKey, envelope.namespace_()}});
  }

 private:
  Result<void> Connect() {
    if (broken_) client_.reset();
    broken_ = false;
    if (client_) return {};
    auto socket = KATA_TRY(sys::ConnectUnix(path_, Deadline::After(0s)));
    client_ = KATA_TRY(ttrpc::Client::Create(loop_, std::move(socket), {},
                                             [this, alive = std::weak_ptr(alive_)](Error) {
                                               if (!alive.expired()) broken_ = true;
                                             }));
    return {};
  }

  // Through the loop: the client may be in the middle of its own work.
  void Finish(Result<void> result) {
    loop_.Post([this, alive = std::weak_ptr(alive_), result = std::move(result)]() mutable {
      if (alive.expired() || !done_) return;
      std::exchange(done_, nullptr)(std::move(result));
    });
  }

  sys::EventLoop& loop_;
  std::string path_;
  std::unique_ptr<ttrpc::Client> client_;
  bool broken_ = false;  // the client's connection is closed
  Done done_;
  std::shared_ptr<bool> alive_;  // gone with this object; callbacks look at it first
};

}  // namespace

std::unique_ptr<EventTransport> MakeTtrpcTransport(sys::EventLoop& loop, std::string address) {
  return std::make_unique<TtrpcTransport>(loop, std::move(address));
}

}  // namespace kata::shim
