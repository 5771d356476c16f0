// SPDX-License-Identifier: Apache-2.0
#include "sys/sockets.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

using ::testing::HasSubstr;

class UnixSocket : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-socket-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { (void)RemoveTree(dir_); }
  static Deadline Soon() { return Deadline::After(std::chrono::seconds(10)); }
  std::string dir_;
};

TEST_F(UnixSocket, ConnectsBothEnds) {
  const std::string path = dir_ + "/a.sock";
  auto listener = ListenUnix(path);
  ASSERT_TRUE(listener) << listener.error().message();
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  auto client = ConnectUnix(path, Soon());
  ASSERT_TRUE(client) << client.error().message();
  auto server = Accept(listener->get());
  ASSERT_TRUE(server);
  ASSERT_TRUE(WriteAll(client->get(), "hello"));
  client->Reset();
  EXPECT_EQ(*ReadToEnd(server->get(), 100), "hello");
  EXPECT_EQ(GetPeerCredentials(server->get())->pid, ::getpid());
}

TEST_F(UnixSocket, PathsBeyondTheAddressLimitWork) {
  const std::string deep = dir_ + "/" + std::string(150, 'd');
  ASSERT_TRUE(MakeDirs(deep));
  const std::string path = deep + "/shim.sock";
  auto listener = ListenUnix(path);
  ASSERT_TRUE(listener) << listener.error().message();
  auto client = ConnectUnix(path, Soon());
  EXPECT_TRUE(client) << client.error().message();
}

TEST_F(UnixSocket, TooLongNamesTheLimit) {
  const auto checked = CheckUnixPathLength(std::string(108, 'x'));
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(checked.error().message(), HasSubstr("108 bytes, the limit is 107"));
  EXPECT_TRUE(CheckUnixPathLength(std::string(107, 'x')));
  const auto listener = ListenUnix(dir_ + "/" + std::string(120, 'x'));
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error().message(), HasSubstr("the limit is 107"));
}

TEST_F(UnixSocket, FailuresHaveUsableCodes) {
  EXPECT_EQ(ConnectUnix(dir_ + "/none", Soon()).error().code(), Code::kNotFound);
  {
    auto listener = ListenUnix(dir_ + "/dead");
  }
  EXPECT_EQ(ConnectUnix(dir_ + "/dead", Soon()).error().code(), Code::kUnavailable);
  EXPECT_EQ(ListenUnix(dir_ + "/dead").error().code(), Code::kAlreadyExists);
  EXPECT_EQ(ListenUnix("").error().code(), Code::kInvalidArgument);
}

TEST_F(UnixSocket, ConnectHonoursItsDeadlineOnAFullBacklog) {
  auto listener = ListenUnix(dir_ + "/full", 0600, /*backlog=*/0);
  ASSERT_TRUE(listener);
  auto first = ConnectUnix(dir_ + "/full", Soon());
  ASSERT_TRUE(first);
  auto second = ConnectUnix(dir_ + "/full", Deadline::After(std::chrono::milliseconds(20)));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kDeadlineExceeded);
}

TEST_F(UnixSocket, PassesADescriptor) {
  auto pair = MakeSocketPair();
  auto pipe = MakePipe();
  ASSERT_TRUE(pair && pipe);
  ASSERT_TRUE(SendWithFd(pair->ours.get(), "x", pipe->write.get(), Soon()));
  auto received = ReceiveWithFd(pair->theirs.get(), 100);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->data, "x");
  ASSERT_TRUE(received->fd.valid());
  EXPECT_NE(::fcntl(received->fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_TRUE(WriteAll(received->fd.get(), "through"));
  received->fd.Reset();
  pipe->write.Reset();
  EXPECT_EQ(*ReadToEnd(pipe->read.get(), 100), "through");
}

TEST(Vsock, RefusesOrIsAbsentButDoesNotHang) {
  const auto fd = ConnectVsock(77777, 1024, Deadline::After(std::chrono::milliseconds(200)));
  EXPECT_FALSE(fd);
}

}  // namespace
}  // namespace kata::sys
