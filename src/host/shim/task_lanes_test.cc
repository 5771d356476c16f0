// SPDX-License-Identifier: Apache-2.0
//
// Which calls of a TaskService never wait for others.
#include <sys/socket.h>

#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "host/shim/task_service.h"
#include "ttrpc/client.h"

namespace kata::shim {
namespace {

using namespace std::chrono_literals;

constexpr size_t kPoolThreads = 3;

// A service without a container, and a client of it.
class TaskLanes : public testing::Test {
 protected:
  TaskLanes() : loop_(sys::EventLoop::Create().value()) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    service_.Register(server_);
    EXPECT_TRUE(server_.Serve(sys::UniqueFd(ends[0])));
    client_ = ttrpc::Client::Create(*loop_, sys::UniqueFd(ends[1])).value();
    thread_ = std::thread([this] { (void)loop_->Run(); });
  }
  ~TaskLanes() override {
    client_.reset();
    loop_->Stop();
    thread_.join();
  }

  static DaemonArgs Args() {
    DaemonArgs args;
    args.namespace_name = "test";
    args.id = "sandbox";
    return args;
  }

  template <class Response, class Request>
  Code CodeOf(std::string_view method, Request request) {
    request.set_id("nobody");
    const auto response =
        client_->Call<Response>("containerd.task.v3.Task", method, request, Deadline::After(5s));
    return response ? Code::kOk : response.error().code();
  }

  const std::unique_ptr<sys::EventLoop> loop_;
  EventPublisher events_{*loop_, "test", nullptr, {}};
  std::optional<sys::WorkerPool> pool_{std::in_place, kPoolThreads};
  TaskService service_{Args(), *loop_, *pool_, events_, [] {}};
  ttrpc::Server server_{*loop_};
  std::unique_ptr<ttrpc::Client> client_;
  std::thread thread_;
};

TEST_F(TaskLanes, KillStateAndWaitAreAnsweredWhileAllOtherCallsHang) {
  std::latch hanging(kPoolThreads);
  std::latch proceed(1);
  for (size_t i = 0; i < kPoolThreads; ++i) {
    pool_->Run([&] {
      hanging.count_down();
      proceed.wait();
    });
  }
  hanging.wait();
  EXPECT_EQ(CodeOf<task::StateResponse>("State", task::StateRequest()), Code::kNotFound);
  EXPECT_EQ(CodeOf<task::ConnectResponse>("Connect", task::ConnectRequest()), Code::kNotFound);
  EXPECT_EQ(CodeOf<task::WaitResponse>("Wait", task::WaitRequest()), Code::kNotFound);
  EXPECT_EQ(CodeOf<wellknown::Empty>("Kill", task::KillRequest()), Code::kNotFound);
  proceed.count_down();
  pool_.reset();
}

}  // namespace
}  // namespace kata::shim
