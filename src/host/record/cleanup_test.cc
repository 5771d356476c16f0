// SPDX-License-Identifier: Apache-2.0
#include "host/record/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

using namespace std::chrono_literals;
using testing::UnorderedElementsAre;

class CleanupTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-cleanup-XXXXXX";
    root_ = ::mkdtemp(name);
    for (const char* folder : {"/vc", "/outside", "/cgroup", "/sbs"}) {
      ASSERT_TRUE(sys::MakeDirs(root_ + folder));
    }
    roots_ = {.paths = {root_ + "/vc"},
              .sockets = {root_ + "/vc"},
              .cgroups = root_ + "/cgroup",
              .records = root_ + "/sbs"};
    record_.id = "ab12";
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(root_)); }

  Result<void> Run() { return Cleanup(record_, Deadline::After(10s), roots_); }

  std::string root_;
  CleanupRoots roots_;
  SandboxRecord record_;
};

// With /proc/self/ns/net the namespace is this one: a record of another is not followed.
TEST_F(CleanupTest, NetworksThatAreGoneOrOthersByNowAreLeftAlone) {
  const network::Connection connection{.interface = "lo", .link = 1, .tap = "tap0_kata"};
  record_.networks = {
      {.namespace_path = "", .namespace_id = {}, .connection = connection},
      {.namespace_path = root_ + "/nothing", .namespace_id = {}, .connection = connection},
      {.namespace_path = "/proc/self/ns/net",
       .namespace_id = {.device = 1, .inode = 1},
       .connection = connection}};
  EXPECT_TRUE(Run());
}

class UpperCleanupTest : public CleanupTest {
 protected:
  void SetUp() override {
    CleanupTest::SetUp();
    layer_ = root_ + "/outside/layer";
    for (const char* each : {"diff", "work/work"}) ASSERT_TRUE(sys::MakeDirs(layer_ + "/" + each));
    ASSERT_TRUE(sys::WriteFile(root_ + "/outside/kept", "x"));
    const auto directory = sys::Open(layer_, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(directory);
    record_.uppers = {storage::TraceUpper(directory->get(), layer_, "diff", "work").value()};
    for (const char* each : {"work/kata/work", "more/deep", "merged", "diff/written"}) {
      ASSERT_TRUE(sys::MakeDirs(layer_ + "/" + each));
    }
    ASSERT_EQ(::symlink("..", (layer_ + "/link").c_str()), 0);
    ASSERT_EQ(::chmod(layer_.c_str(), 0777), 0);
  }
  std::string layer_;
};

TEST_F(UpperCleanupTest, WhatTheGuestMadeBesideAnUpperLayerGoes) {
  ASSERT_TRUE(Run());
  EXPECT_THAT(sys::ListDirectory(layer_), UnorderedElementsAre("diff", "work", "merged"));
  EXPECT_THAT(sys::ListDirectory(layer_ + "/work"), UnorderedElementsAre("work"));
  EXPECT_TRUE(sys::Exists(layer_ + "/diff/written"));
  EXPECT_TRUE(sys::Exists(root_ + "/outside/kept"));
  struct stat status{};
  ASSERT_EQ(::stat(layer_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, record_.uppers[0].mode);
  EXPECT_TRUE(Run());
}

TEST_F(UpperCleanupTest, ADirectoryThatIsAnotherByNowIsLeftAlone) {
  ASSERT_EQ(::rename(layer_.c_str(), (layer_ + "-moved").c_str()), 0);
  EXPECT_TRUE(Run());
  ASSERT_TRUE(sys::MakeDirs(layer_ + "/others"));
  EXPECT_TRUE(Run());
  EXPECT_TRUE(sys::Exists(layer_ + "/others"));
  EXPECT_TRUE(sys::Exists(layer_ + "-moved/more"));
}

pid_t StartSleeper() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  return child;
}

TEST_F(CleanupTest, RemovesPathsSocketsAndTheRecordAndCanBeRepeated) {
  ASSERT_TRUE(sys::MakeDirs(root_ + "/vc/vm/ab12/deep"));
  ASSERT_TRUE(sys::WriteFile(root_ + "/vc/vm/ab12/deep/file", "x"));
  const std::string socket_path = root_ + "/vc/agent.sock";
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(socket);
  record_.paths = {root_ + "/vc/vm/ab12"};
  record_.sockets = {socket_path};
  ASSERT_TRUE(SaveRecord(record_, roots_.records));

  for (int i = 0; i < 2; ++i) {
    const auto result = Run();
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_FALSE(sys::Exists(root_ + "/vc/vm/ab12"));
    EXPECT_FALSE(sys::Exists(socket_path));
    EXPECT_FALSE(sys::Exists(root_ + "/sbs/ab12"));
  }
}

TEST_F(CleanupTest, RemovesNothingOutsideOfItsRoots) {
  ASSERT_TRUE(sys::WriteFile(root_ + "/outside/file", "x"));
  record_.paths = {root_ + "/outside", root_ + "/vc", root_ + "/vc/../outside/file", "relative"};
  record_.sockets = {root_ + "/outside/file"};
  EXPECT_TRUE(Run());
  EXPECT_TRUE(sys::Exists(root_ + "/outside/file"));
  EXPECT_TRUE(sys::Exists(root_ + "/vc"));
}

TEST_F(CleanupTest, DoesNotFollowLinks) {
  ASSERT_TRUE(sys::WriteFile(root_ + "/outside/file", "x"));
  ASSERT_TRUE(sys::MakeDirs(root_ + "/vc/ab12"));
  ASSERT_EQ(::symlink((root_ + "/outside").c_str(), (root_ + "/vc/ab12/link").c_str()), 0);
  record_.paths = {root_ + "/vc/ab12"};
  EXPECT_TRUE(Run());
  EXPECT_FALSE(sys::Exists(root_ + "/vc/ab12"));
  EXPECT_TRUE(sys::Exists(root_ + "/outside/file"));
}

TEST_F(CleanupTest, AFileWhereASocketShouldBeIsAnErrorAndStays) {
  ASSERT_TRUE(sys::WriteFile(root_ + "/vc/agent.sock", "x"));
  record_.sockets = {root_ + "/vc/agent.sock"};
  EXPECT_EQ(Run().error().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(sys::Exists(root_ + "/vc/agent.sock"));
}

TEST_F(CleanupTest, KillsTheRecordedProcess) {
  const pid_t child = StartSleeper();
  record_.processes = {DescribeProcess(child, ProcessRole::kVmm).value()};
  EXPECT_TRUE(Run());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WNOHANG), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(CleanupTest, SparesAProcessThatOnlyHasTheRecordedNumber) {
  const pid_t child = StartSleeper();
  ProcessEntry stranger = DescribeProcess(child, ProcessRole::kVmm).value();
  --stranger.start_time;
  record_.processes = {stranger};
  EXPECT_TRUE(Run());
  EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), 0);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_F(CleanupTest, SparesItself) {
  record_.processes = {DescribeProcess(::getpid(), ProcessRole::kShim).value()};
  EXPECT_TRUE(Run());
}

TEST_F(CleanupTest, GivesALoggerTimeToFinish) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::usleep(50'000);
    ::_exit(7);
  }
  record_.processes = {DescribeProcess(child, ProcessRole::kLogger).value()};
  EXPECT_TRUE(Run());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WNOHANG), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(CleanupTest, RemovesNestedCgroups) {
  ASSERT_TRUE(sys::MakeDirs(root_ + "/cgroup/kata/ab12/inner"));
  record_.cgroups = {root_ + "/cgroup/kata/ab12", root_ + "/outside"};
  EXPECT_TRUE(Run());
  EXPECT_FALSE(sys::Exists(root_ + "/cgroup/kata/ab12"));
  EXPECT_TRUE(sys::Exists(root_ + "/cgroup/kata"));
  EXPECT_TRUE(sys::Exists(root_ + "/outside"));
}

TEST(IsBelow, KnowsComponents) {
  EXPECT_TRUE(IsBelow("/run/vc/a", "/run/vc"));
  EXPECT_TRUE(IsBelow("/run/vc/a/b", "/run/vc"));
  for (const char* path : {"/run/vc", "/run/vc/", "/run/vcx/a", "/run/vc/../x", "/run/vc/a/..",
                           "/run/vc//a", "/run/vc/./a", "run/vc/a", ""}) {
    EXPECT_FALSE(IsBelow(path, "/run/vc")) << path;
  }
}

TEST(MountPointsBelow, FindsThePathItselfAndWhatIsInside) {
  constexpr char kText[] =
      "22 1 0:21 / /run rw - tmpfs tmpfs rw\n"
      "23 22 0:22 / /run/vc/ab rw,nosuid shared:5 - tmpfs tmpfs rw\n"
      "24 22 0:22 / /run/vc/abc rw - tmpfs tmpfs rw\n"
      "25 23 0:23 /x /run/vc/ab/a\\040b rw - ext4 /dev/sda rw\n"
      "\n"
      "broken";
  EXPECT_THAT(MountPointsBelow(kText, "/run/vc/ab"),
              testing::ElementsAre("/run/vc/ab", "/run/vc/ab/a b"));
}

}  // namespace
}  // namespace kata::sandbox
