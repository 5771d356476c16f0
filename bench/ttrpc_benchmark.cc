// SPDX-License-Identifier: Apache-2.0
//
// ttrpc over a socketpair, client and server on one event loop: round trips a second of blocking
// calls, calls a second with many in flight, bytes a second of large payloads.
#include <sys/socket.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <benchmark/benchmark.h>

#include "sys/event_loop.h"
#include "ttrpc/client.h"
#include "ttrpc/server.h"

namespace kata::ttrpc {
namespace {

class Echo {
 public:
  Echo() : loop_(sys::EventLoop::Create().value()), server_(std::make_unique<Server>(*loop_)) {
    server_->Handle("bench", "Echo", [](CallContext, std::string_view payload, Responder reply) {
      reply.ReplyBytes(std::string(payload));
    });
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
    server_->Serve(sys::UniqueFd(fds[0])).value();
    client_ = Client::Create(*loop_, sys::UniqueFd(fds[1])).value();
    thread_ = std::thread([this] { (void)loop_->Run(); });
  }
  ~Echo() {
    client_.reset();
    loop_->Stop();
    thread_.join();
    server_.reset();
  }
  Client& client() { return *client_; }

 private:
  std::unique_ptr<sys::EventLoop> loop_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
  std::thread thread_;
};

void BlockingCall(benchmark::State& state) {
  Echo echo;
  const std::string payload(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    benchmark::DoNotOptimize(echo.client().Call("bench", "Echo", payload, Deadline::Never()));
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BlockingCall)->Arg(0)->Arg(64 << 10)->Arg(1 << 20)->UseRealTime();

// Keeps `range(0)` calls in flight; each answer starts the next call.
struct Pump {
  Client& client;
  int64_t left;
  int64_t in_flight = 0;
  std::promise<void> done;

  void Start() {
    --left;
    ++in_flight;
    client.CallAsync("bench", "Echo", std::string(100, 'x'), Deadline::Never(),
                     [this](Result<std::string>) {
                       --in_flight;
                       if (left > 0) {
                         Start();
                       } else if (in_flight == 0) {
                         done.set_value();
                       }
                     });
  }
};

void CallsInFlight(benchmark::State& state) {
  constexpr int64_t kCalls = 20'000;
  for (auto _ : state) {
    Echo echo;
    Pump pump{.client = echo.client(), .left = kCalls};
    auto done = pump.done.get_future();
    // The first answer starts the others on the loop's thread.
    pump.client.CallAsync("bench", "Echo", "", Deadline::Never(),
                          [&pump, width = state.range(0)](Result<std::string>) {
                            for (int64_t i = 0; i < width; ++i) pump.Start();
                          });
    done.wait();
  }
  state.SetItemsProcessed(state.iterations() * kCalls);
}
BENCHMARK(CallsInFlight)->Arg(1)->Arg(64)->Arg(1024)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kata::ttrpc

BENCHMARK_MAIN();
