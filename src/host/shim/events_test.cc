// SPDX-License-Identifier: Apache-2.0
#include "host/shim/events.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "proto/events.pb.h"
#include "sys/files.h"
#include "sys/sockets.h"
#include "ttrpc/server.h"

namespace kata::shim {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

constexpr char kService[] = "containerd.services.events.ttrpc.v1.Events";

// An event loop on a thread of its own.
class LoopThread {
 public:
  LoopThread() : loop_(sys::EventLoop::Create().value()), thread_([this] { (void)loop_->Run(); }) {}
  ~LoopThread() {
    loop_->Stop();
    thread_.join();
  }
  sys::EventLoop& loop() { return *loop_; }
  // Runs `work` on the loop and waits for it.
  void Do(const std::function<void()>& work) {
    const auto done = std::make_shared<std::promise<void>>();
    loop_->Post([&work, done] {
      work();
      done->set_value();
    });
    done->get_future().wait();
  }

 private:
  std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
};

// containerd's event service, to be killed and started again.
class FakeContainerd {
 public:
  explicit FakeContainerd(std::string socket) : socket_(std::move(socket)) { Start(); }
  ~FakeContainerd() { Stop(); }

  void Start() {
    thread_ = std::make_unique<LoopThread>();
    thread_->Do([this] {
      server_ = std::make_unique<ttrpc::Server>(thread_->loop());
      server_->Handle<events::ForwardRequest>(
          kService, "Forward",
          [this](ttrpc::CallContext context, events::ForwardRequest request,
                 ttrpc::Responder responder) {
            const MutexLock lock(mutex_);
            if (refuse_ > 0) {
              --refuse_;
              return responder.Fail(Error(Code::kInvalidArgument, "no"));
            }
            metadata_ = context.metadata;
            received_.push_back(request.envelope());
            responder.ReplyEmpty();
          });
      (void)sys::RemoveFile(socket_);
      EXPECT_TRUE(server_->Listen(sys::ListenUnix(socket_).value()));
    });
  }
  void Stop() {
    if (!thread_) return;
    thread_->Do([this] { server_.reset(); });
    thread_.reset();
  }
  void Refuse(int times) {
    const MutexLock lock(mutex_);
    refuse_ = times;
  }
  std::vector<events::Envelope> received() {
    const MutexLock lock(mutex_);
    return received_;
  }
  std::vector<std::string> ids() {
    std::vector<std::string> ids;
    for (const auto& envelope : received()) {
      events::TaskOOM event;
      EXPECT_TRUE(event.ParseFromString(envelope.event().value()));
      ids.push_back(event.container_id());
    }
    return ids;
  }
  std::vector<std::pair<std::string, std::string>> metadata() {
    const MutexLock lock(mutex_);
    return metadata_;
  }

 private:
  const std::string socket_;
  std::unique_ptr<LoopThread> thread_;
  std::unique_ptr<ttrpc::Server> server_;
  Mutex mutex_;
  std::vector<events::Envelope> received_ KATA_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, std::string>> metadata_ KATA_GUARDED_BY(mutex_);
  int refuse_ KATA_GUARDED_BY(mutex_) = 0;
};

class EventsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-events-XXXXXX";
    root_ = ::mkdtemp(name);
    socket_ = root_ + "/c.sock.ttrpc";
  }
  void TearDown() override {
    thread_.Do([this] { publisher_.reset(); });
    EXPECT_TRUE(sys::RemoveTree(root_));
  }
  void Make(EventLimits limits = {}) {
    limits.min_pause = 1ms;
    limits.max_pause = 5ms;
    publisher_.emplace(thread_.loop(), "default",
                       MakeTtrpcTransport(thread_.loop(), "unix://" + socket_), limits);
  }
  bool Flush() { return publisher_->Flush(Deadline::After(20s)); }

  std::string root_;
  std::string socket_;
  LoopThread thread_;
  std::optional<EventPublisher> publisher_;
};

template <class Event>
Event As(const events::Envelope& envelope, const char* topic, const char* type) {
  EXPECT_EQ(envelope.topic(), topic);
  EXPECT_EQ(envelope.event().type_url(), type);
  EXPECT_EQ(envelope.namespace_(), "default");
  EXPECT_GT(envelope.timestamp().seconds(), 1'000'000'000);
  Event event;
  EXPECT_TRUE(event.ParseFromString(envelope.event().value()));
  return event;
}

TEST_F(EventsTest, ArriveInOrderWithAllFields) {
  FakeContainerd containerd(socket_);
  Make();
  task::CreateTaskRequest request;
  request.set_id("c");
  request.set_bundle("/b");
  request.add_rootfs()->set_type("overlay");
  request.set_stdin("/in");
  request.set_stdout("/out");
  request.set_stderr("/err");
  request.set_terminal(true);
  request.set_checkpoint("/cp");
  const EventPublisher::TimePoint when(1'700'000'000s + 5ms);
  publisher_->TaskCreate(request, 7);
  publisher_->TaskStart("c", 7);
  publisher_->TaskExecAdded("c", "e");
  publisher_->TaskExecStarted("c", "e", 7);
  publisher_->TaskExit("c", "e", 7, 3, when);
  publisher_->TaskPaused("c");
  publisher_->TaskResumed("c");
  publisher_->TaskOOM("c");
  publisher_->TaskCheckpointed("c", "/cp");
  publisher_->TaskDelete("c", "e", 7, 3, when);
  ASSERT_TRUE(Flush());
  const auto got = containerd.received();
  ASSERT_EQ(got.size(), 10U);
  EXPECT_THAT(containerd.metadata(),
              ElementsAre(testing::Pair("containerd-namespace-ttrpc", "default")));

  const auto create =
      As<events::TaskCreate>(got[0], "/tasks/create", "containerd.events.TaskCreate");
  EXPECT_EQ(create.container_id(), "c");
  EXPECT_EQ(create.bundle(), "/b");
  ASSERT_EQ(create.rootfs_size(), 1);
  EXPECT_EQ(create.rootfs(0).type(), "overlay");
  EXPECT_EQ(create.io().stdin(), "/in");
  EXPECT_EQ(create.io().stdout(), "/out");
  EXPECT_EQ(create.io().stderr(), "/err");
  EXPECT_TRUE(create.io().terminal());
  EXPECT_EQ(create.checkpoint(), "/cp");
  EXPECT_EQ(create.pid(), 7U);
  EXPECT_EQ(As<events::TaskStart>(got[1], "/tasks/start", "containerd.events.TaskStart").pid(), 7U);
  EXPECT_EQ(
      As<events::TaskExecAdded>(got[2], "/tasks/exec-added", "containerd.events.TaskExecAdded")
          .exec_id(),
      "e");
  EXPECT_EQ(As<events::TaskExecStarted>(got[3], "/tasks/exec-started",
                                        "containerd.events.TaskExecStarted")
                .pid(),
            7U);
  const auto exit = As<events::TaskExit>(got[4], "/tasks/exit", "containerd.events.TaskExit");
  EXPECT_EQ(exit.id(), "e");
  EXPECT_EQ(exit.exit_status(), 3U);
  EXPECT_EQ(exit.exited_at().seconds(), 1'700'000'000);
  EXPECT_EQ(exit.exited_at().nanos(), 5'000'000);
  As<events::TaskPaused>(got[5], "/tasks/paused", "containerd.events.TaskPaused");
  As<events::TaskResumed>(got[6], "/tasks/resumed", "containerd.events.TaskResumed");
  As<events::TaskOOM>(got[7], "/tasks/oom", "containerd.events.TaskOOM");
  EXPECT_EQ(As<events::TaskCheckpointed>(got[8], "/tasks/checkpointed",
                                         "containerd.events.TaskCheckpointed")
                .checkpoint(),
            "/cp");
  const auto deleted =
      As<events::TaskDelete>(got[9], "/tasks/delete", "containerd.events.TaskDelete");
  EXPECT_EQ(deleted.id(), "e");
  EXPECT_EQ(deleted.container_id(), "c");
  EXPECT_EQ(deleted.exited_at().seconds(), 1'700'000'000);
}

TEST_F(EventsTest, WaitForAContainerdThatIsAwayAndArriveWhenItIsBack) {
  FakeContainerd containerd(socket_);
  Make();
  publisher_->TaskOOM("1");
  ASSERT_TRUE(Flush());
  containerd.Stop();
  publisher_->TaskOOM("2");
  publisher_->TaskOOM("3");
  EXPECT_FALSE(publisher_->Flush(Deadline::After(50ms)));
  containerd.Start();
  ASSERT_TRUE(Flush());
  EXPECT_THAT(containerd.ids(), ElementsAre("1", "2", "3"));
  EXPECT_EQ(publisher_->dropped(), 0U);
}

TEST_F(EventsTest, WaitForAContainerdThatIsNotThereYet) {
  Make();
  publisher_->TaskOOM("1");
  EXPECT_FALSE(publisher_->Flush(Deadline::After(20ms)));
  FakeContainerd containerd(socket_);
  ASSERT_TRUE(Flush());
  EXPECT_THAT(containerd.ids(), ElementsAre("1"));
}

TEST_F(EventsTest, DropTheOldestWhenTooManyWait) {
  Make({.max_queued = 3});
  for (int i = 1; i <= 5; ++i) publisher_->TaskOOM(fmt::format("{}", i));
  FakeContainerd containerd(socket_);
  ASSERT_TRUE(Flush());
  EXPECT_EQ(containerd.received().size(), 3U);
  EXPECT_EQ(containerd.ids().back(), "5");
  EXPECT_EQ(publisher_->dropped(), 2U);
}

TEST_F(EventsTest, DropWhatIsTooOld) {
  Make({.max_age = 10ms});
  publisher_->TaskOOM("1");
  EXPECT_TRUE(Flush());
  EXPECT_EQ(publisher_->dropped(), 1U);
}

TEST_F(EventsTest, ARefusedEventIsTriedAgainButNotForEver) {
  FakeContainerd containerd(socket_);
  Make({.max_refusals = 3});
  containerd.Refuse(2);
  publisher_->TaskOOM("1");
  ASSERT_TRUE(Flush());
  containerd.Refuse(3);
  publisher_->TaskOOM("2");
  publisher_->TaskOOM("3");
  ASSERT_TRUE(Flush());
  EXPECT_THAT(containerd.ids(), ElementsAre("1", "3"));
  EXPECT_EQ(publisher_->dropped(), 1U);
}

TEST_F(EventsTest, KeepTheirOrderUnderManyPublishers) {
  FakeContainerd containerd(socket_);
  Make();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 50; ++i) publisher_->TaskOOM(fmt::format("{}-{:02}", t, i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(Flush());
  std::vector<std::string> ids = containerd.ids();
  ASSERT_EQ(ids.size(), 200U);
  std::stable_sort(ids.begin(), ids.end(),
                   [](const std::string& a, const std::string& b) { return a[0] < b[0]; });
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST_F(EventsTest, GoThroughThePublishBinaryWithoutTtrpc) {
  const std::string script = root_ + "/containerd";
  ASSERT_TRUE(sys::WriteFile(
      script, fmt::format("#!/bin/sh\necho \"$@\" >> {0}/args\ncat >> {0}/event\n", root_), 0755));
  publisher_.emplace(thread_.loop(), DaemonArgs{.namespace_name = "default",
                                                .containerd_address = "/c.sock",
                                                .publish_binary = script});
  publisher_->TaskOOM("1");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(sys::ReadFile(root_ + "/args").value(),
            "--address /c.sock publish --topic /tasks/oom --namespace default\n");
  wellknown::Any any;
  ASSERT_TRUE(any.ParseFromString(sys::ReadFile(root_ + "/event").value()));
  EXPECT_EQ(any.type_url(), "containerd.events.TaskOOM");
}

TEST_F(EventsTest, APublishBinaryThatFailsIsRunAgain) {
  const std::string script = root_ + "/containerd";
  ASSERT_TRUE(sys::WriteFile(
      script, fmt::format("#!/bin/sh\necho x >> {0}/runs\n[ $(wc -l < {0}/runs) -ge 3 ]\n", root_),
      0755));
  publisher_.emplace(thread_.loop(), "default",
                     MakeBinaryTransport(thread_.loop(), script, "/c.sock"),
                     EventLimits{.min_pause = 1ms, .max_pause = 5ms});
  publisher_->TaskOOM("1");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(sys::ReadFile(root_ + "/runs").value(), "x\nx\nx\n");
}

TEST_F(EventsTest, AreDroppedWithoutAnyWay) {
  publisher_.emplace(thread_.loop(), DaemonArgs{});
  publisher_->TaskOOM("1");
  EXPECT_TRUE(Flush());
}

}  // namespace
}  // namespace kata::shim
