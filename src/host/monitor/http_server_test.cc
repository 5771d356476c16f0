// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/http_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/monitor/listen.h"
#include "sys/files.h"
#include "sys/sockets.h"
#include "sys/temporary_dir.h"

namespace kata::monitor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::EndsWith;
using ::testing::StartsWith;

constexpr auto kPatience = seconds(20);

// A server at a socket of its own, until the test ends.
class HttpServerTest : public testing::Test {
 protected:
  void Begin(HttpServer::Options options) {
    listener_ = Listen("unix:" + path()).value();
    stop_ = sys::UniqueFd(::eventfd(0, EFD_CLOEXEC));
    server_ = std::make_unique<HttpServer>(std::move(options), [](const HttpRequest& request) {
      return HttpResponse{.body = request.path + "\n"};
    });
    thread_ =
        std::thread([this] { EXPECT_TRUE(server_->Run(listener_.socket.get(), stop_.get())); });
  }
  ~HttpServerTest() override {
    if (!thread_.joinable()) return;
    EXPECT_EQ(::eventfd_write(stop_.get(), 1), 0);
    thread_.join();
  }

  std::string path() const { return directory_.path() + "/socket"; }
  sys::UniqueFd Connect() const {
    return sys::ConnectUnix(path(), Deadline::After(kPatience)).value();
  }
  static void Send(const sys::UniqueFd& client, std::string_view text) {
    (void)sys::SendAll(client.get(), text, Deadline::After(kPatience));
  }
  // Up to the connection's end, which must come.
  static std::string Rest(const sys::UniqueFd& client) {
    std::string all;
    char chunk[4096];
    while (sys::WaitFor(client.get(), POLLIN, Deadline::After(kPatience))) {
      const ssize_t n = ::read(client.get(), chunk, sizeof chunk);
      if (n <= 0) return all;
      all.append(chunk, static_cast<size_t>(n));
    }
    ADD_FAILURE() << "the connection has no end";
    return all;
  }

  const sys::TemporaryDir directory_{"monitor"};
  Listener listener_;
  sys::UniqueFd stop_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(HttpServerTest, AnswersRequestsThatComeInPieces) {
  Begin({});
  const auto client = Connect();
  for (const char* piece : {"GET /a", "b HTTP/1.1\r\n", "Host: x\r", "\n\r", "\n"}) {
    Send(client, piece);
  }
  const std::string answer = Rest(client);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n/ab\n"));
}

TEST_F(HttpServerTest, TellsWhatIsWrongWithARequest) {
  Begin({});
  const auto posting = Connect();
  Send(posting, "POST / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(Rest(posting), StartsWith("HTTP/1.1 405 "));
  const auto endless = Connect();
  Send(endless, "GET / HTTP/1.1\r\nA: " + std::string(kMostOfHead, 'a'));
  EXPECT_THAT(Rest(endless), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, ClientsThatSayNothingHoldOthersForAMomentOnly) {
  Begin({.most_connections = 2, .to_ask = milliseconds(300)});
  std::vector<sys::UniqueFd> silent;
  for (int i = 0; i < 4; ++i) {
    silent.push_back(Connect());
    Send(silent.back(), "GET / HTTP/1.1\r\n");
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto client = Connect();
  Send(client, "GET /now HTTP/1.1\r\n\r\n");
  EXPECT_THAT(Rest(client), EndsWith("/now\n"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kPatience / 2);
  for (const auto& each : silent) EXPECT_EQ(Rest(each), "");
}

TEST_F(HttpServerTest, AClientThatTakesNothingIsGivenUp) {
  listener_ = Listen("unix:" + path()).value();
  stop_ = sys::UniqueFd(::eventfd(0, EFD_CLOEXEC));
  HttpServer server({.to_take = milliseconds(300)}, [](const HttpRequest&) {
    return HttpResponse{.body = std::string(8 << 20, 'x')};
  });
  std::thread thread([&] { EXPECT_TRUE(server.Run(listener_.socket.get(), stop_.get())); });
  const auto client = Connect();
  Send(client, "GET / HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(sys::WaitFor(client.get(), POLLIN, Deadline::After(kPatience)));
  EXPECT_EQ(::eventfd_write(stop_.get(), 1), 0);
  thread.join();
}

TEST_F(HttpServerTest, ListensWhereItsAddressSays) {
  const auto port = Listen("127.0.0.1:0");
  ASSERT_TRUE(port) << port.error().message();
  EXPECT_THAT(port->address, StartsWith("127.0.0.1:"));
  EXPECT_FALSE(Listen(port->address)) << "somebody is there";
  EXPECT_TRUE(Listen(":0"));
  for (const char* address : {"", "127.0.0.1", "127.0.0.1:x", "[::1", "unix:"}) {
    EXPECT_FALSE(Listen(address)) << address;
  }
  {
    const auto socket = Listen("unix:" + path());
    ASSERT_TRUE(socket) << socket.error().message();
    EXPECT_EQ(Listen("unix:" + path()).error().code(), Code::kAlreadyExists);
  }
  EXPECT_TRUE(Listen("unix:" + path())) << "what a killed server has left is nobody's";
}

TEST(TlsServer, SaysWhatItCannotRead) {
  const auto server = TlsServer::Load("/nonexistent.pem", "/nonexistent.key");
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(server.error().message(), StartsWith("certificate \"/nonexistent.pem\": "));
}

}  // namespace
}  // namespace kata::monitor
