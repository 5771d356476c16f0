// SPDX-License-Identifier: Apache-2.0
//
// Starts the real program with the daemon of fake_daemon.cc.
#include "host/shim/start.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/shim/address.h"
#include "proto/shim.pb.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/sockets.h"

namespace kata::shim {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr char kUnix[] = "unix://";

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

std::string Contents(int fd) {
  ::lseek(fd, 0, SEEK_SET);
  return sys::ReadToEnd(fd, 1 << 20).value();
}

sys::UniqueFd MemoryFile(const std::string& content) {
  sys::UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_TRUE(sys::WriteAll(fd.get(), content));
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

class StartTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-start-XXXXXX";
    root_ = ::mkdtemp(name);
    for (const char* folder : {"/bundle", "/member", "/s"}) {
      ASSERT_TRUE(sys::MakeDirs(root_ + folder));
    }
    ASSERT_TRUE(sys::WriteFile(root_ + "/bundle/config.json", "{}"));
  }
  void TearDown() override {
    for (const std::string& address : started_) Quit(address);
    EXPECT_TRUE(sys::RemoveTree(root_));
  }

  // Runs `start` as containerd 2.3 does, which lets the socket be in our own directory.
  Outcome Start(const std::string& id, const std::string& bundle,
                std::vector<std::string> environment = {}) {
    BootstrapParams params;
    params.set_instance_id(id);
    params.set_socket_dir(root_ + "/s");
    params.set_containerd_ttrpc_address("/c.sock.ttrpc");
    return Run(id, bundle, params.SerializeAsString(), std::move(environment));
  }

  Outcome Run(const std::string& id, const std::string& bundle, const std::string& input,
              std::vector<std::string> environment = {}, int out = -1) {
    const auto in = MemoryFile(input);
    const auto own_out = MemoryFile("");
    const auto err = MemoryFile("");
    sys::Command command;
    command.argv = {
        KATA_SHIM_FRONT_FAKE, "-namespace",      "default", "-address", root_ + "/c.sock",
        "-publish-binary",    "/bin/containerd", "-id",     id,         "start"};
    command.env = std::move(environment);
    command.cwd = bundle;
    command.stdin_fd = in.get();
    command.stdout_fd = out >= 0 ? out : own_out.get();
    command.stderr_fd = err.get();
    auto child = sys::ChildProcess::Spawn(command);
    EXPECT_TRUE(child) << child.error().message();
    const auto status = child->Wait(Deadline::After(20s));
    EXPECT_TRUE(status) << status.error().message();
    return {status->ShellCode(), Contents(own_out.get()), Contents(err.get())};
  }

  // The address in a BootstrapResult.
  std::string AddressIn(const Outcome& outcome) {
    BootstrapResult result;
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_TRUE(result.ParseFromString(outcome.out));
    EXPECT_EQ(result.version(), 3);
    EXPECT_EQ(result.protocol(), "ttrpc");
    if (!result.address().empty()) started_.push_back(result.address());
    return result.address();
  }

  static std::map<std::string, std::string> FactsOf(const std::string& address) {
    std::map<std::string, std::string> facts;
    auto socket = sys::ConnectUnix(address.substr(sizeof kUnix - 1), Deadline::After(10s));
    EXPECT_TRUE(socket) << socket.error().message();
    if (!socket) return facts;
    ::shutdown(socket->get(), SHUT_WR);
    std::string text = sys::ReadToEnd(socket->get(), 1 << 20).value_or("");
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = text.find('\n', begin);
      const size_t equals = text.find('=', begin);
      facts[text.substr(begin, equals - begin)] = text.substr(equals + 1, end - equals - 1);
      begin = end + 1;
    }
    return facts;
  }

  // Ends the daemon and waits until it has gone. One that has ended already is fine.
  static void Quit(const std::string& address) {
    const auto socket = sys::ConnectUnix(address.substr(sizeof kUnix - 1), Deadline::After(10s));
    if (!socket) return;
    EXPECT_TRUE(sys::WriteAll(socket->get(), "q"));
    (void)sys::ReadToEnd(socket->get(), 1 << 20);
    while (sys::ConnectUnix(address.substr(sizeof kUnix - 1), Deadline::After(10s))) {
    }
  }

  std::string root_;
  std::vector<std::string> started_;
};

TEST_F(StartTest, MakesADaemonThatHasOnlyWhatItNeeds) {
  const std::string address = AddressIn(Start("web", root_ + "/bundle"));
  EXPECT_EQ(address, kUnix + SocketPath(root_ + "/s", root_ + "/c.sock", "default", "web").value());
  auto facts = FactsOf(address);
  EXPECT_EQ(facts["sid"], facts["pid"]);
  EXPECT_EQ(facts["cwd"], root_ + "/bundle");
  EXPECT_EQ(facts["fd0"], "/dev/null");
  EXPECT_EQ(facts["fd1"], "/dev/null");
  EXPECT_EQ(facts["fd2"], "/dev/null");
  EXPECT_THAT(facts["fd3"], testing::StartsWith("socket:"));
  for (int fd = 4; fd < 64; ++fd) EXPECT_FALSE(facts.contains(fmt::format("fd{}", fd))) << fd;
  EXPECT_EQ(facts["namespace"], "default");
  EXPECT_EQ(facts["id"], "web");
  EXPECT_EQ(facts["address"], root_ + "/c.sock");
  EXPECT_EQ(facts["ttrpc"], "/c.sock.ttrpc");
  EXPECT_EQ(facts["binary"], "/bin/containerd");
  EXPECT_EQ(facts["bundle"], root_ + "/bundle");
  EXPECT_EQ(facts["debug"], "false");
  EXPECT_EQ(facts["socket"], address.substr(sizeof kUnix - 1));
  EXPECT_EQ(facts["comm"], "shim_front_fake");
  EXPECT_EQ(sys::ReadFile(root_ + "/bundle/address").value(), address);
  EXPECT_EQ(sys::ReadFile(root_ + "/bundle/shim.pid").value(), facts["pid"]);
}

TEST_F(StartTest, TheKernelPrefersToEndTheDaemonBeforeItsParent) {
  const int own = std::stoi(sys::ReadFile("/proc/self/oom_score_adj").value());
  auto facts = FactsOf(AddressIn(Start("web", root_ + "/bundle")));
  EXPECT_EQ(std::stoi(facts["oom"]), std::min(own + 1, 1000));
}

TEST_F(StartTest, FindsTheDaemonThatRuns) {
  const std::string first = AddressIn(Start("web", root_ + "/bundle"));
  const std::string pid = FactsOf(first)["pid"];
  const std::string second = AddressIn(Start("web", root_ + "/bundle"));
  EXPECT_EQ(second, first);
  EXPECT_EQ(FactsOf(second)["pid"], pid);
}

TEST_F(StartTest, ReplacesTheSocketOfADeadDaemon) {
  const std::string path = SocketPath(root_ + "/s", root_ + "/c.sock", "default", "web").value();
  ASSERT_TRUE(sys::ListenUnix(path));
  const std::string address = AddressIn(Start("web", root_ + "/bundle"));
  EXPECT_EQ(address, kUnix + path);
  EXPECT_FALSE(FactsOf(address).empty());
}

TEST_F(StartTest, OfManyAtOnceOneMakesTheDaemon) {
  std::vector<sys::ChildProcess> children;
  std::vector<sys::UniqueFd> outputs;
  BootstrapParams params;
  params.set_instance_id("web");
  params.set_socket_dir(root_ + "/s");
  for (int i = 0; i < 12; ++i) {
    const auto in = MemoryFile(params.SerializeAsString());
    outputs.push_back(MemoryFile(""));
    sys::Command command;
    command.argv = {KATA_SHIM_FRONT_FAKE, "-namespace", "n", "-id", "web", "start"};
    command.cwd = root_ + "/bundle";
    command.stdin_fd = in.get();
    command.stdout_fd = outputs.back().get();
    auto child = sys::ChildProcess::Spawn(command);
    ASSERT_TRUE(child);
    children.push_back(*std::move(child));
  }
  std::string pid;
  for (size_t i = 0; i < children.size(); ++i) {
    const auto status = children[i].Wait(Deadline::After(20s));
    ASSERT_TRUE(status);
    const std::string address = AddressIn({status->ShellCode(), Contents(outputs[i].get()), ""});
    const std::string now = FactsOf(address)["pid"];
    if (pid.empty()) pid = now;
    EXPECT_EQ(now, pid);
  }
}

TEST_F(StartTest, AMemberOfAPodFindsItsSandboxesDaemon) {
  const std::string address = AddressIn(Start("pod", root_ + "/bundle"));
  ASSERT_TRUE(sys::WriteFile(root_ + "/member/config.json",
                             R"({"annotations":{"io.kubernetes.cri.container-type":"container",
                                 "io.kubernetes.cri.sandbox-id":"pod"}})"));
  EXPECT_EQ(AddressIn(Start("member", root_ + "/member")), address);
  EXPECT_EQ(sys::ReadFile(root_ + "/member/address").value(), address);

  Quit(address);
  const Outcome outcome = Start("member", root_ + "/member");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("the shim of sandbox \"pod\" does not run"));
}

TEST_F(StartTest, EveryFailureIsOneLineOnStderrAndLeavesNothing) {
  ASSERT_TRUE(sys::WriteFile(root_ + "/bundle/config.json", "{"));
  Outcome outcome = Start("web", root_ + "/bundle");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, testing::MatchesRegex("containerd-shim-kata-v2: start \"web\": "
                                                 "[^\n]*config.json[^\n]*\n"));
  outcome = Start("../web", root_ + "/bundle");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("../web"));
  EXPECT_THAT(Run("web", root_ + "/bundle", "\xff\xff").err, HasSubstr("stdin"));
  EXPECT_EQ(::rmdir((root_ + "/s").c_str()), 0) << "no socket may be left";
}

TEST_F(StartTest, APodOfTheSandboxApiNeedsNoSpecification) {
  ASSERT_TRUE(sys::RemoveFile(root_ + "/bundle/config.json"));
  const Outcome outcome = Start("web", root_ + "/bundle");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

TEST_F(StartTest, ASocketDirectoryThatIsTooLongIsNamed) {
  BootstrapParams params;
  params.set_instance_id("web");
  params.set_socket_dir(root_ + "/" + std::string(60, 'x'));
  const Outcome outcome = Run("web", root_ + "/bundle", params.SerializeAsString());
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("shorter socket directory"));
}

TEST_F(StartTest, WhenNobodyReadsTheAnswerTheDaemonIsEnded) {
  BootstrapParams params;
  params.set_instance_id("web");
  params.set_socket_dir(root_ + "/s");
  const auto full = sys::Open("/dev/full", O_WRONLY);
  ASSERT_TRUE(full);
  const Outcome outcome =
      Run("web", root_ + "/bundle", params.SerializeAsString(), {}, full->get());
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("No space left"));
  EXPECT_EQ(::rmdir((root_ + "/s").c_str()), 0) << "no socket may be left";
  EXPECT_FALSE(sys::Exists(root_ + "/bundle/address"));
  EXPECT_FALSE(sys::Exists(root_ + "/bundle/shim.pid"));
}

TEST_F(StartTest, AnswersInTheFormThatContainerdKnows) {
  if (::getuid() != 0) GTEST_SKIP() << "the usual socket directory belongs to root";
  const std::string path =
      SocketPath(kDefaultSocketDir, root_ + "/c.sock", "default", "web").value();
  const std::string address = kUnix + path;
  started_.push_back(address);
  wellknown::Any options;
  options.set_type_url("containerd.runc.v1.Options");
  options.set_value("\xff\xfe");
  const Outcome outcome = Run("web", root_ + "/bundle", options.SerializeAsString());
  EXPECT_EQ(outcome.out, address);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(Run("web", root_ + "/bundle", "").out, address);
  EXPECT_EQ(Run("web", root_ + "/bundle", "", {"MAX_SHIM_VERSION=2"}).out, address);
  EXPECT_EQ(Run("web", root_ + "/bundle", "", {"MAX_SHIM_VERSION=3"}).out,
            fmt::format(R"({{"version":3,"address":"{}","protocol":"ttrpc"}})", address));
  Quit(address);
  EXPECT_TRUE(sys::RemoveFile(path));
}

}  // namespace
}  // namespace kata::shim
