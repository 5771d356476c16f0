// SPDX-License-Identifier: Apache-2.0
//
// Client and server against peers that misbehave, written byte by byte.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "ttrpc/client.h"
#include "ttrpc/server.h"
#include "ttrpc/session.h"
#include "ttrpc/test_support.h"

namespace kata::ttrpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline SoonEnough() { return Deadline::After(seconds(30)); }

std::string PeerRequest(uint32_t id, std::string_view method, std::string_view payload = "") {
  return EncodeRequest(id, "svc", method, payload, std::chrono::nanoseconds(0), {});
}

std::string RawFrame(uint32_t length, uint32_t id, uint8_t type) {
  std::string frame;
  AppendHeader({.length = length, .stream_id = id, .type = type, .flags = 0}, frame);
  return frame;
}

// Reads one response; its stream id and what it says.
struct Answer {
  uint32_t stream_id = 0;
  Result<std::string> payload;
};
std::optional<Answer> ReadAnswer(int fd) {
  const auto read_all = [fd](size_t size) -> std::optional<std::string> {
    std::string bytes(size, '\0');
    for (size_t have = 0; have < size;) {
      if (!sys::WaitFor(fd, POLLIN, SoonEnough())) return std::nullopt;
      const ssize_t n = ::read(fd, bytes.data() + have, size - have);
      if (n <= 0) return std::nullopt;
      have += static_cast<size_t>(n);
    }
    return bytes;
  };
  const auto header = read_all(kHeaderSize);
  if (!header) return std::nullopt;
  FrameDecoder decoder(kMaxPayload);
  std::string_view input = *header;
  auto frame = decoder.Next(input);
  std::string body;
  if (!frame) {
    uint32_t length = 0;
    for (int i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>((*header)[i]);
    const auto read = read_all(length);
    if (!read) return std::nullopt;
    body = *read;
    input = body;
    frame = decoder.Next(input);
  }
  return Answer{frame->header.stream_id, ParseResponse(frame->payload)};
}

bool AtEndOfFile(int fd) {
  char c;
  return sys::WaitFor(fd, POLLIN, SoonEnough()) && ::read(fd, &c, 1) <= 0;
}

class ServerPeerTest : public testing::Test {
 protected:
  void Begin(const Limits& limits = {}) {
    SocketPair pair = MakeSocketPair();
    peer_ = std::move(pair.b);
    loop_.RunOnLoop([&] {
      MakeServer(limits);
      ASSERT_TRUE(server_->Serve(std::move(pair.a)));
    });
  }
  void MakeServer(const Limits& limits) {
    server_.emplace(loop_.get(), limits);
    server_->Handle("svc", "Echo", [this](CallContext, std::string_view payload, Responder reply) {
      ++handled_;
      reply.ReplyBytes(std::string(payload));
    });
    server_->Handle("svc", "Park", [this](CallContext, std::string_view, Responder reply) {
      parked_.push_back(std::move(reply));
      ++handled_;
    });
  }
  void TearDown() override {
    loop_.RunOnLoop([&] {
      server_.reset();
      parked_.clear();
    });
  }
  void Send(std::string_view bytes) {
    ASSERT_TRUE(sys::WriteAll(peer_.get(), bytes, SoonEnough()));
  }

  LoopThread loop_;
  std::optional<Server> server_;
  std::vector<Responder> parked_;
  std::atomic<size_t> handled_ = 0;
  sys::UniqueFd peer_;
};

TEST_F(ServerPeerTest, AnOversizedRequestIsDrainedAndRefusedOnItsStream) {
  Begin({.max_payload = 1000});
  Send(RawFrame(500'000, 1, kRequest) + std::string(500'000, 'x') + PeerRequest(3, "Echo", "hi"));
  const auto refused = ReadAnswer(peer_.get());
  EXPECT_EQ(refused->stream_id, 1u);
  EXPECT_EQ(refused->payload.error().code(), Code::kResourceExhausted);
  const auto echoed = ReadAnswer(peer_.get());
  EXPECT_EQ(echoed->stream_id, 3u);
  EXPECT_EQ(echoed->payload.value(), "hi");
}

TEST_F(ServerPeerTest, BadIdsAreRefusedAndTheConnectionGoesOn) {
  Begin();
  Send(PeerRequest(2, "Echo") + PeerRequest(5, "Echo") + PeerRequest(3, "Echo"));
  for (const auto& [id, good] : {std::pair(2u, false), std::pair(5u, true), std::pair(3u, false)}) {
    const auto answer = ReadAnswer(peer_.get());
    EXPECT_EQ(answer->stream_id, id);
    EXPECT_EQ(answer->payload.has_value(), good);
  }
}

TEST_F(ServerPeerTest, ARequestInSingleBytesIsUnderstood) {
  Begin();
  for (const char byte : PeerRequest(1, "Echo", "slow")) Send(std::string_view(&byte, 1));
  EXPECT_EQ(ReadAnswer(peer_.get())->payload.value(), "slow");
}

TEST_F(ServerPeerTest, ATruncatedFrameIsForgottenWithItsConnection) {
  Begin();
  Send(PeerRequest(1, "Echo", "truncated").substr(0, 15));
  ASSERT_EQ(::shutdown(peer_.get(), SHUT_WR), 0);
  EXPECT_TRUE(AtEndOfFile(peer_.get()));
  size_t connections = 1;
  loop_.RunOnLoop([&] { connections = server_->connections(); });
  EXPECT_EQ(connections, 0u);
  EXPECT_EQ(handled_, 0u);
}

TEST_F(ServerPeerTest, ACallersDeadlineIsAnsweredByTheServerItself) {
  Begin();
  Send(EncodeRequest(1, "svc", "Park", "", milliseconds(30), {}));
  const auto answer = ReadAnswer(peer_.get());
  EXPECT_EQ(answer->stream_id, 1u);
  EXPECT_EQ(answer->payload.error().code(), Code::kDeadlineExceeded);
}

TEST_F(ServerPeerTest, AClientThatDoesNotReadStopsBeingServedAtTheBound) {
  constexpr size_t kBound = 256 << 10;
  constexpr size_t kReply = 10'000;
  Begin({.max_queued_bytes = kBound});
  ASSERT_TRUE(sys::SetNonBlocking(peer_.get()));
  const std::string payload(kReply, 'x');
  std::string unsent;
  uint32_t id = 1;
  size_t sent = 0;
  size_t whole_requests = 0;
  // Until the kernel takes no more for a while: then the server has stopped reading.
  while (sys::WaitFor(peer_.get(), POLLOUT, Deadline::After(milliseconds(300)))) {
    if (unsent.empty()) {
      unsent = PeerRequest(id, "Echo", payload);
      id += 2;
    }
    const ssize_t n = ::write(peer_.get(), unsent.data(), unsent.size());
    if (n > 0) {
      unsent.erase(0, static_cast<size_t>(n));
      sent += static_cast<size_t>(n);
      if (unsent.empty()) ++whole_requests;
    }
    ASSERT_LT(sent, 64u << 20) << "the server reads without end";
  }
  int socket_buffer = 0;
  socklen_t size = sizeof socket_buffer;
  ASSERT_EQ(::getsockopt(peer_.get(), SOL_SOCKET, SO_SNDBUF, &socket_buffer, &size), 0);
  EXPECT_LE(handled_ * kReply, kBound + static_cast<size_t>(socket_buffer) + 100'000);

  // Everything is answered once the client reads.
  for (size_t i = 0; i < whole_requests; ++i) {
    const auto answer = ReadAnswer(peer_.get());
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->stream_id, 2 * i + 1);
    EXPECT_EQ(answer->payload.value().size(), kReply);
  }
}

TEST_F(ServerPeerTest, AnswersOfCallsTakenEarlierDoNotGrowTheQueueWithoutEnd) {
  constexpr size_t kBound = 256 << 10;
  Begin({.max_queued_bytes = kBound});
  constexpr uint32_t kCalls = 200;
  for (uint32_t i = 0; i < kCalls; ++i) Send(PeerRequest(2 * i + 1, "Park"));
  const Deadline limit = SoonEnough();
  while (handled_ < kCalls && !limit.Passed()) std::this_thread::yield();
  loop_.RunOnLoop([&] {
    for (Responder& responder : parked_) responder.ReplyBytes(std::string(100'000, 'x'));
  });
  size_t payload_bytes = 0;
  size_t refused = 0;
  for (uint32_t i = 0; i < kCalls; ++i) {
    const auto answer = ReadAnswer(peer_.get());
    ASSERT_TRUE(answer);
    if (answer->payload) {
      payload_bytes += answer->payload->size();
    } else {
      EXPECT_EQ(answer->payload.error().code(), Code::kResourceExhausted);
      ++refused;
    }
  }
  EXPECT_GT(refused, 0u);
  EXPECT_LE(payload_bytes, 2 * kBound + (1 << 20));
}

TEST_F(ServerPeerTest, AFloodOnOneConnectionLeavesTimeForTheOthers) {
  Begin();
  SocketPair other = MakeSocketPair();
  loop_.RunOnLoop([&] { ASSERT_TRUE(server_->Serve(std::move(other.a))); });
  std::atomic<bool> stop = false;
  std::thread flood([&] {
    const std::string garbage = RawFrame(0xffffffff, 2, kData) + std::string(1 << 20, 'x');
    while (!stop) {
      if (!sys::WriteAll(peer_.get(), garbage, SoonEnough())) return;
    }
  });
  for (uint32_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(
        sys::WriteAll(other.b.get(), PeerRequest(2 * i + 1, "Echo", "quick"), SoonEnough()));
    EXPECT_EQ(ReadAnswer(other.b.get())->payload.value(), "quick");
  }
  stop = true;
  flood.join();
}

TEST_F(ServerPeerTest, APausedConnectionWhosePeerHangsUpIsClosed) {
  Begin({.max_queued_bytes = 1});
  const std::string payload(1 << 20, 'x');
  Send(PeerRequest(1, "Echo", payload));
  const Deadline limit = SoonEnough();
  while (handled_ == 0 && !limit.Passed()) std::this_thread::yield();
  peer_.Reset();
  size_t connections = 1;
  while (connections > 0 && !limit.Passed()) {
    loop_.RunOnLoop([&] { connections = server_->connections(); });
  }
  EXPECT_EQ(connections, 0u);
}

TEST_F(ServerPeerTest, ConnectionsAboveTheBoundWaitUntilOneCloses) {
  const std::string path = "/tmp/kata-ttrpc-test-" + std::to_string(::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  sys::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::unlink(path.c_str());
  ASSERT_EQ(::bind(listener.get(), generic, sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 16), 0);
  loop_.RunOnLoop([&] {
    MakeServer({.max_connections = 2});
    ASSERT_TRUE(server_->Listen(std::move(listener)));
  });
  std::vector<sys::UniqueFd> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(clients.back().get(), generic, sizeof address), 0);
    ASSERT_TRUE(sys::WriteAll(clients.back().get(), PeerRequest(1, "Echo", "hi"), SoonEnough()));
  }
  ::unlink(path.c_str());
  EXPECT_EQ(ReadAnswer(clients[0].get())->payload.value(), "hi");
  EXPECT_EQ(ReadAnswer(clients[1].get())->payload.value(), "hi");
  // In the round that serves the second client again, the third would be accepted, in the next one
  // be read, and what is posted runs after that.
  for (uint32_t id = 3; id <= 5; id += 2) {
    ASSERT_TRUE(sys::WriteAll(clients[1].get(), PeerRequest(id, "Echo", "again"), SoonEnough()));
    EXPECT_EQ(ReadAnswer(clients[1].get())->payload.value(), "again");
  }
  loop_.RunOnLoop([] {});
  EXPECT_FALSE(sys::WaitFor(clients[2].get(), POLLIN, Deadline::After(milliseconds(0))));
  clients[0].Reset();
  EXPECT_EQ(ReadAnswer(clients[2].get())->payload.value(), "hi");
}

// A terminal stands in for a virtio-serial port: its master polls as hung up while nobody has the
// slave open.
class ReconnectingTest : public ServerPeerTest {
 protected:
  void Begin() {
    sys::UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(master.valid());
    ASSERT_EQ(::grantpt(master.get()), 0);
    ASSERT_EQ(::unlockpt(master.get()), 0);
    char name[64];
    ASSERT_EQ(::ptsname_r(master.get(), name, sizeof name), 0);
    slave_name_ = name;
    // A slave's settings outlast its last close, so one raw opening is enough.
    Connect();
    peer_.Reset();
    loop_.RunOnLoop([&] {
      MakeServer({});
      ASSERT_TRUE(
          server_->Serve(std::move(master), [this] { ++closed_; }, StreamKind::kReconnecting));
    });
  }
  void Connect() {
    peer_ = sys::UniqueFd(::open(slave_name_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(peer_.valid());
    termios settings{};
    ASSERT_EQ(::tcgetattr(peer_.get(), &settings), 0);
    ::cfmakeraw(&settings);
    ASSERT_EQ(::tcsetattr(peer_.get(), TCSANOW, &settings), 0);
  }
  // Returns when the server has nothing of the last client left.
  void AwaitIdle() {
    const Deadline limit = SoonEnough();
    while (server_->calls_in_flight() > 0 && !limit.Passed()) std::this_thread::yield();
    EXPECT_EQ(server_->calls_in_flight(), 0u);
  }

  std::string slave_name_;
  std::atomic<int> closed_ = 0;
};

TEST_F(ReconnectingTest, ServesOneClientAfterTheOther) {
  Begin();
  for (int client = 0; client < 5; ++client) {
    Connect();
    Send(PeerRequest(1, "Echo", "hello"));
    EXPECT_EQ(ReadAnswer(peer_.get())->payload.value(), "hello");
    Send(PeerRequest(3, "Echo", std::string(100'000, 'x')));
    EXPECT_EQ(ReadAnswer(peer_.get())->payload.value().size(), 100'000u);
    Send(PeerRequest(5, "Park"));
    const size_t before = static_cast<size_t>(client + 1) * 3;
    const Deadline limit = SoonEnough();
    while (handled_ < before && !limit.Passed()) std::this_thread::yield();
    Send(PeerRequest(7, "Echo", "cut off").substr(0, 20));
    peer_.Reset();
    AwaitIdle();
    loop_.RunOnLoop([&] { EXPECT_FALSE(parked_.back().wanted()); });
  }
  EXPECT_EQ(closed_, 0);
}

TEST_F(ReconnectingTest, UsesNoProcessorTimeWhileNobodyIsConnected) {
  Begin();
  Connect();
  Send(PeerRequest(1, "Echo", "hello"));
  EXPECT_EQ(ReadAnswer(peer_.get())->payload.value(), "hello");
  peer_.Reset();
  const auto cpu_time = [] {
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  };
  const auto before = cpu_time();
  std::promise<void> later;
  loop_.RunOnLoop([&] { loop_.get().RunAfter(milliseconds(300), [&] { later.set_value(); }); });
  later.get_future().wait();
  EXPECT_LT(cpu_time() - before, milliseconds(30));
}

class ClientPeerTest : public testing::Test {
 protected:
  void TearDown() override {
    loop_.RunOnLoop([&] { client_.reset(); });
  }
  void Begin(const Limits& limits = {}) {
    SocketPair pair = MakeSocketPair();
    peer_ = std::move(pair.b);
    client_ = Client::Create(loop_.get(), std::move(pair.a), limits, [this](Error reason) {
                closed_.set_value(std::move(reason));
              }).value();
  }
  std::future<Result<std::string>> Start(Deadline deadline = SoonEnough(),
                                         std::string payload = {}) {
    auto promise = std::make_shared<std::promise<Result<std::string>>>();
    auto answer = promise->get_future();
    client_->CallAsync(
        "svc", "Do", std::move(payload), deadline,
        [promise](Result<std::string> result) { promise->set_value(std::move(result)); });
    return answer;
  }
  void Send(std::string_view bytes) {
    ASSERT_TRUE(sys::WriteAll(peer_.get(), bytes, SoonEnough()));
  }

  LoopThread loop_;
  std::unique_ptr<Client> client_;
  std::promise<Error> closed_;
  sys::UniqueFd peer_;
};

TEST_F(ClientPeerTest, ASilentServerCostsACallItsDeadlineOnly) {
  Begin();
  EXPECT_EQ(client_->Call("svc", "Do", "", Deadline::After(milliseconds(30))).error().code(),
            Code::kDeadlineExceeded);
  EXPECT_EQ(client_->calls_in_flight(), 0u);
}

TEST_F(ClientPeerTest, GarbageEndsTheConnectionAndEveryCall) {
  for (const std::string& garbage :
       {std::string(100, '\xff'), std::string("HTTP/1.1 400 Bad Request\r\n\r\n"),
        EncodeReply(99, "an answer to nothing"), std::string(100, '\0')}) {
    Begin();
    closed_ = {};
    auto first = Start();
    auto second = Start();
    Send(garbage);
    EXPECT_EQ(first.get().error().code(), Code::kUnavailable);
    EXPECT_EQ(second.get().error().code(), Code::kUnavailable);
    EXPECT_EQ(closed_.get_future().get().code(), Code::kUnavailable);
    EXPECT_EQ(Start().get().error().code(), Code::kUnavailable);
    client_.reset();
  }
}

TEST_F(ClientPeerTest, AnOversizedAnswerIsDrainedAndFailsItsCall) {
  Begin({.max_response = 1000});
  auto large = Start();
  auto small = Start();
  Send(RawFrame(5000, 1, kResponse) + std::string(5000, 'x') + EncodeReply(3, "fits"));
  EXPECT_EQ(large.get().error().code(), Code::kResourceExhausted);
  EXPECT_EQ(small.get().value(), "fits");
}

TEST_F(ClientPeerTest, ATruncatedAnswerEndsAsUnavailable) {
  Begin();
  auto answer = Start();
  Send(EncodeReply(1, "cut off").substr(0, 12));
  peer_.Reset();
  EXPECT_EQ(answer.get().error().code(), Code::kUnavailable);
}

TEST_F(ClientPeerTest, AnswersSentBeforeTheServerWentAreNotLost) {
  Begin();
  auto first = Start();
  Send(EncodeReply(1, "goodbye"));
  peer_.Reset();
  auto second = Start();
  EXPECT_EQ(first.get().value(), "goodbye");
  EXPECT_EQ(second.get().error().code(), Code::kUnavailable);
}

TEST_F(ClientPeerTest, AServerThatDoesNotReadBoundsTheClientsQueue) {
  constexpr size_t kBound = 1 << 20;
  Begin({.max_queued_bytes = kBound});
  std::vector<std::future<Result<std::string>>> answers;
  size_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    answers.push_back(Start(SoonEnough(), std::string(100'000, 'x')));
    taken = client_->calls_in_flight();
  }
  EXPECT_EQ(answers.back().get().error().code(), Code::kResourceExhausted);
  EXPECT_LE(taken * 100'000, kBound + 600'000);
}

TEST_F(ClientPeerTest, LateAnswersOfManyExpiredCallsAreDropped) {
  Begin();
  std::vector<std::future<Result<std::string>>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(Start(Deadline::After(milliseconds(10))));
  for (auto& answer : answers) EXPECT_EQ(answer.get().error().code(), Code::kDeadlineExceeded);
  auto last = Start();
  for (uint32_t i = 0; i < 100; ++i) Send(EncodeReply(2 * i + 1, "late"));
  Send(EncodeReply(201, "in time"));
  EXPECT_EQ(last.get().value(), "in time");
}

}  // namespace
}  // namespace kata::ttrpc
