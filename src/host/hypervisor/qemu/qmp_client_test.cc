// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/qmp_client.h"

#include <poll.h>

#include <atomic>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/hypervisor/qemu/qemu.h"
#include "sys/sockets.h"

namespace kata::hypervisor::qemu {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr char kGreeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}}}}\r\n";

// A client, and the other end of its socket to play QEMU with.
class QmpClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *sys::EventLoop::Create();
    thread_ = std::thread([this] { (void)loop_->Run(); });
    sys::SocketPair pair = *sys::MakeSocketPair();
    qemu_ = std::move(pair.theirs);
    client_ = QmpClient::Create(*loop_, std::move(pair.ours),
                                [this](const QmpEvent& event) { OnEvent(event); });
  }
  void TearDown() override {
    client_->Close();
    loop_->Stop();
    thread_.join();
  }
  void OnEvent(const QmpEvent& event) {
    const MutexLock lock(mutex_);
    events_.push_back(event.name);
  }
  static Deadline Soon() { return Deadline::After(seconds(20)); }

  void Say(const std::string& text) { ASSERT_TRUE(sys::WriteAll(qemu_.get(), text)); }
  std::string Hear() {
    std::string line;
    char c = 0;
    while (sys::WaitFor(qemu_.get(), POLLIN, Soon()) && ::read(qemu_.get(), &c, 1) == 1 &&
           c != '\n') {
      line += c;
    }
    return line;
  }

  std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
  sys::UniqueFd qemu_;
  std::shared_ptr<QmpClient> client_;
  Mutex mutex_;
  std::vector<std::string> events_ KATA_GUARDED_BY(mutex_);
};

TEST_F(QmpClientTest, ShakesHandsAndCalls) {
  std::thread qemu([this] {
    Say(kGreeting);
    EXPECT_THAT(Hear(), HasSubstr("\"qmp_capabilities\""));
    Say("{\"return\": {}, \"id\": 1}\n");
    EXPECT_THAT(Hear(), HasSubstr("\"query-status\""));
    Say("{\"event\": \"STOP\"}\n{\"return\": {\"status\": \"running\"}, \"id\": 2}\n");
  });
  const auto greeting = client_->Handshake(Soon());
  ASSERT_TRUE(greeting) << greeting.error().message();
  EXPECT_EQ(greeting->major, 10);
  const auto status = client_->Call("query-status", nullptr, Soon());
  qemu.join();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ((*status)["status"], "running");
  const MutexLock lock(mutex_);
  EXPECT_EQ(events_, std::vector<std::string>{"STOP"});
}

TEST_F(QmpClientTest, ErrorsCarryQemusWords) {
  std::thread qemu([this] {
    Hear();
    Say("{\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"Bus full\"}}\n");
    Hear();
    Say("{\"id\": 2, \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"no 'x'\"}}\n");
  });
  const auto refused = client_->Call("device_add", nullptr, Soon());
  const auto missing = client_->Call("device_del", nullptr, Soon());
  qemu.join();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(refused.error().message(), "QEMU device_add: Bus full");
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
}

TEST_F(QmpClientTest, ACommandWaitsForOneThatQemuDoesNotReadNoLongerThanItMay) {
  constexpr size_t kMoreThanASocketHolds = 8 << 20;
  auto first = std::async(std::launch::async, [this] {
    return client_->Call("first", {{"text", std::string(kMoreThanASocketHolds, 'x')}}, Soon());
  });
  // It has begun.
  ASSERT_TRUE(sys::WaitFor(qemu_.get(), POLLIN, Soon()));
  auto second = std::async(std::launch::async, [this] {
    return client_->Call("second", nullptr, Deadline::After(milliseconds(10)));
  });
  EXPECT_EQ(second.wait_for(seconds(10)), std::future_status::ready) << "it waits for the first";
  qemu_.Reset();
  EXPECT_EQ(first.get().error().code(), Code::kUnavailable);
  const auto answer = second.get();
  EXPECT_EQ(answer.error().code(), Code::kDeadlineExceeded) << answer.error().message();
}

TEST_F(QmpClientTest, AnswersOutOfOrderReachTheirCallers) {
  std::thread qemu([this] {
    const std::string first = Hear();
    const std::string second = Hear();
    // Whichever came first is answered last.
    const auto id = [](const std::string& line) {
      return nlohmann::json::parse(line)["id"].get<int>();
    };
    const auto name = [](const std::string& line) {
      return nlohmann::json::parse(line)["execute"].get<std::string>();
    };
    for (const std::string& line : {second, first}) {
      Say("{\"return\": \"" + name(line) + "\", \"id\": " + std::to_string(id(line)) + "}\n");
    }
  });
  std::thread other([this] { EXPECT_EQ(*client_->Call("one", nullptr, Soon()), "one"); });
  EXPECT_EQ(*client_->Call("two", nullptr, Soon()), "two");
  other.join();
  qemu.join();
}

TEST_F(QmpClientTest, SilenceEndsAtTheDeadlineAndALateAnswerIsDropped) {
  const auto late = client_->Call("slow", nullptr, Deadline::After(milliseconds(30)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::kDeadlineExceeded);
  std::thread qemu([this] {
    Hear();
    Hear();
    Say("{\"return\": \"stale\", \"id\": 1}\n{\"return\": \"fresh\", \"id\": 2}\n");
  });
  EXPECT_EQ(*client_->Call("next", nullptr, Soon()), "fresh");
  qemu.join();
}

TEST_F(QmpClientTest, DeathInTheMiddleOfACallIsAnErrorAtOnce) {
  std::thread qemu([this] {
    Hear();
    qemu_.Reset();
  });
  const auto answer = client_->Call("stop", nullptr, Soon());
  qemu.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kUnavailable);
  EXPECT_EQ(client_->Call("cont", nullptr, Soon()).error().code(), Code::kUnavailable);
  EXPECT_EQ(client_->Handshake(Soon()).error().code(), Code::kUnavailable);
}

TEST_F(QmpClientTest, GarbageEndsTheConversation) {
  Say("ceci n'est pas du JSON\n");
  const auto answer = client_->Call("stop", nullptr, Soon());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kUnavailable);
  EXPECT_THAT(answer.error().message(), HasSubstr("not JSON"));
}

TEST_F(QmpClientTest, DescriptorsTravelWithTheirCommand) {
  auto pipe = sys::MakePipe();
  ASSERT_TRUE(pipe);
  std::thread qemu([this] {
    const auto received = sys::ReceiveWithFd(qemu_.get(), 1000);
    ASSERT_TRUE(received);
    EXPECT_THAT(received->data, HasSubstr("getfd"));
    EXPECT_TRUE(sys::WriteAll(received->fd.get(), "through"));
    Say("{\"return\": {}, \"id\": 1}\n");
  });
  ASSERT_TRUE(client_->Call("getfd", {{"fdname", "x"}}, Soon(), pipe->write.get()));
  qemu.join();
  pipe->write.Reset();
  EXPECT_EQ(*sys::ReadToEnd(pipe->read.get(), 100), "through");
}

TEST(ParseVersion, ReadsWhatQemusPrint) {
  EXPECT_EQ(*ParseVersion("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)\nCopyright"),
            (Version{7, 2, 22}));
  EXPECT_EQ(*ParseVersion("QEMU emulator version 10.0.2"), (Version{10, 0, 2}));
  EXPECT_EQ(*ParseVersion("QEMU emulator version 9.1"), (Version{9, 1, 0}));
  EXPECT_FALSE(ParseVersion(""));
  EXPECT_FALSE(ParseVersion("bash version 5.2"));
  EXPECT_FALSE(ParseVersion("QEMU emulator version x.y"));
}

}  // namespace
}  // namespace kata::hypervisor::qemu
