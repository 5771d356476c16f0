// SPDX-License-Identifier: Apache-2.0
//
// kata-monitor's part between the shims and its pages, with shims that only answer "Metrics".
#include "host/monitor/monitor.h"

#include <unistd.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/monitor/pages.h"
#include "metrics/builder.h"
#include "sys/event_loop.h"
#include "sys/open_file_limit.h"
#include "sys/sockets.h"
#include "sys/temporary_dir.h"
#include "ttrpc/server.h"

namespace kata::monitor {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

// What a shim of a busy sandbox tells, nearly.
metrics::Metrics Many(size_t samples) {
  metrics::Builder builder;
  for (size_t i = 0; i < samples; ++i) {
    builder.Add("kata_guest_vm_stat", {{"item", fmt::format("nr_something_{}", i)}},
                static_cast<double>(i) * 1000);
  }
  return builder.Take();
}

class MonitorTest : public testing::Test {
 protected:
  MonitorTest() : loop_(sys::EventLoop::Create().value()) {
    thread_ = std::thread([this] { EXPECT_TRUE(loop_->Run()); });
  }
  ~MonitorTest() override {
    loop_->Stop();
    thread_.join();
    servers_.clear();
  }

  std::string SocketOf(const std::string& id) const { return sockets_.path() + "/" + id; }

  // A sandbox whose shim is this process.
  void AddRecord(const std::string& id) {
    sandbox::SandboxRecord record{.id = id, .owner = SocketOf(id), .containers = {id}};
    record.processes = {sandbox::DescribeProcess(::getpid(), sandbox::ProcessRole::kShim).value()};
    ASSERT_TRUE(sandbox::SaveRecord(record, directory_.path()));
  }
  void Serve(const std::string& id, const metrics::Metrics& metrics) {
    auto server = std::make_unique<ttrpc::Server>(*loop_);
    server->Handle<metrics::MetricsRequest>(
        "kata.cpp.v1.Sandbox", "Metrics",
        [metrics](ttrpc::CallContext, const metrics::MetricsRequest&, ttrpc::Responder responder) {
          responder.Reply(metrics);
        });
    auto listener = sys::ListenUnix(SocketOf(id)).value();
    std::promise<void> done;
    loop_->Post([&] {
      EXPECT_TRUE(server->Listen(std::move(listener)));
      done.set_value();
    });
    done.get_future().wait();
    servers_.push_back(std::move(server));
  }
  Monitor::Options OptionsWith(milliseconds patience) const {
    return {.patience = patience, .records = directory_.path()};
  }

  const sys::TemporaryDir directory_{"monitor"};
  const sys::TemporaryDir sockets_{"shims"};
  const std::unique_ptr<sys::EventLoop> loop_;
  std::vector<std::unique_ptr<ttrpc::Server>> servers_;
  std::thread thread_;
};

TEST_F(MonitorTest, TellsOfAllSandboxesWhoseTheyAre) {
  for (const char* id : {"a", "b"}) {
    AddRecord(id);
    Serve(id, Many(2));
  }
  Monitor monitor(OptionsWith(milliseconds(20000)));
  const std::string text = monitor.AllMetrics().value();
  EXPECT_THAT(text, HasSubstr("kata_monitor_running_shim_count 2\n"));
  EXPECT_THAT(text, HasSubstr("kata_monitor_sandbox_up{sandbox_id=\"a\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE kata_guest_vm_stat gauge\n"
                              "kata_guest_vm_stat{item=\"nr_something_0\",sandbox_id=\"a\"} 0\n"
                              "kata_guest_vm_stat{item=\"nr_something_1\",sandbox_id=\"a\"} 1000\n"
                              "kata_guest_vm_stat{item=\"nr_something_0\",sandbox_id=\"b\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("kata_monitor_scrape_count 1\n"));
  EXPECT_THAT(text, HasSubstr("kata_monitor_scrape_failed_count 0\n"));
  EXPECT_THAT(text, HasSubstr("kata_monitor_process_open_fds "));

  const auto one = AnswerPage(monitor, {.path = "/metrics", .query = {{"sandbox", "b"}}});
  EXPECT_EQ(one.status, 200);
  EXPECT_THAT(one.body, HasSubstr("kata_guest_vm_stat{item=\"nr_something_1\"} 1000\n"));
  EXPECT_EQ(AnswerPage(monitor, {.path = "/metrics", .query = {{"sandbox", "c"}}}).status, 404);
  EXPECT_EQ(AnswerPage(monitor, {.path = "/sandboxes"}).body, "a\nb\n");
  const auto json = AnswerPage(monitor, {.path = "/sandboxes", .accept = "application/json"});
  EXPECT_EQ(json.type, "application/json");
  EXPECT_THAT(json.body, HasSubstr("\"id\": \"a\""));
  EXPECT_EQ(AnswerPage(monitor, {.path = "/other"}).status, 404);
}

TEST_F(MonitorTest, ShimsThatHangCostTheirTimeOnceAndCountAsFailed) {
  AddRecord("a");
  Serve("a", Many(1));
  // Connections are taken, and nobody reads them.
  std::vector<sys::UniqueFd> hung;
  for (int i = 0; i < 20; ++i) {
    const std::string id = fmt::format("hung-{}", i);
    AddRecord(id);
    hung.push_back(sys::ListenUnix(SocketOf(id)).value());
  }
  AddRecord("gone");  // its socket is not there
  Monitor monitor(OptionsWith(milliseconds(500)));
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = monitor.AllMetrics().value();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(5000));
  EXPECT_THAT(text, HasSubstr("kata_monitor_sandbox_up{sandbox_id=\"a\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("kata_monitor_sandbox_up{sandbox_id=\"gone\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("kata_monitor_sandbox_up{sandbox_id=\"hung-7\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("kata_monitor_scrape_failed_count 21\n"));
  EXPECT_EQ(AnswerPage(monitor, {.path = "/metrics", .query = {{"sandbox", "hung-7"}}}).status,
            504);
}

TEST_F(MonitorTest, LeavesOutSandboxesWhoseShimHasEnded) {
  AddRecord("a");
  sandbox::SandboxRecord record = sandbox::LoadRecord("a", directory_.path()).value();
  record.processes[0].start_time += 1;
  ASSERT_TRUE(sandbox::SaveRecord(record, directory_.path()));
  Monitor monitor(OptionsWith(milliseconds(500)));
  EXPECT_THAT(monitor.AllMetrics().value(), HasSubstr("kata_monitor_running_shim_count 0\n"));
  EXPECT_EQ(AnswerPage(monitor, {.path = "/sandboxes"}).body, "");
}

TEST_F(MonitorTest, LeavesOutWhatIsTooMuch) {
  AddRecord("a");
  Serve("a", Many(Monitor::kMostSamples + 1));
  Monitor monitor(OptionsWith(milliseconds(20000)));
  EXPECT_THAT(monitor.AllMetrics().value(), Not(HasSubstr("kata_guest_vm_stat")));
}

// The figure of docs/metrics.md; the bound is for a busy machine and sanitizers.
TEST_F(MonitorTest, TwoHundredSandboxesAreSoonAsked) {
  (void)sys::RaiseOpenFileLimit(4096);
  const metrics::Metrics metrics = Many(600);
  for (int i = 0; i < 200; ++i) {
    const std::string id = fmt::format("sandbox-{}", i);
    AddRecord(id);
    Serve(id, metrics);
  }
  Monitor monitor(OptionsWith(milliseconds(60000)));
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = monitor.AllMetrics().value();
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_THAT(text, HasSubstr("kata_monitor_scrape_failed_count 0\n"));
  EXPECT_LT(took, std::chrono::seconds(30));
  fmt::print("200 sandboxes: {} ms, {} KiB\n",
             std::chrono::duration_cast<milliseconds>(took).count(), text.size() / 1024);
}

}  // namespace
}  // namespace kata::monitor
