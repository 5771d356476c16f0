// SPDX-License-Identifier: Apache-2.0
#include "host/shim/delete.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "host/record/record.h"
#include "host/shim/address.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::shim {
namespace {

using namespace std::chrono_literals;
using sandbox::DescribeProcess;
using sandbox::ProcessRole;
using sandbox::SandboxRecord;

class DeleteTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-delete-XXXXXX";
    root_ = ::mkdtemp(name);
    host_.roots = {.paths = {root_ + "/run"},
                   .sockets = {root_ + "/s"},
                   .cgroups = root_ + "/cgroup",
                   .records = root_ + "/sbs"};
    host_.socket_dir = root_ + "/s";
    host_.vm_dir = root_ + "/run/vm";
    host_.share_dir = root_ + "/run/share";
    host_.grace = 50ms;
    for (const char* folder : {"/s", "/sbs", "/bundle", "/run/vm/web", "/run/share/web"}) {
      ASSERT_TRUE(sys::MakeDirs(root_ + folder));
    }
    line_ = {.action = Action::kDelete,
             .namespace_name = "default",
             .id = "web",
             .address = "/c.sock",
             .bundle = root_ + "/bundle"};
    WriteSpec("{}");
    socket_ = SocketPath(host_.socket_dir, "/c.sock", "default", "web").value();
    record_ = {.id = "web", .owner = socket_, .paths = {root_ + "/run/vm/web"}};
  }
  void TearDown() override {
    for (const pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    EXPECT_TRUE(sys::RemoveTree(root_));
  }

  void WriteSpec(const std::string& json) {
    ASSERT_TRUE(sys::WriteFile(root_ + "/bundle/config.json", json));
  }
  // A process that stays until it is killed.
  sandbox::ProcessEntry Sleeper(ProcessRole role) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
    children_.push_back(child);
    return DescribeProcess(child, role).value();
  }
  void Save() { ASSERT_TRUE(sandbox::SaveRecord(record_, host_.roots.records)); }
  bool NothingIsLeft() const {
    return !sys::Exists(root_ + "/run/vm/web") && !sys::Exists(root_ + "/run/share/web") &&
           !sys::Exists(root_ + "/sbs/web") && !sys::Exists(socket_);
  }

  std::string root_;
  std::string socket_;
  DeleteHost host_;
  CommandLine line_;
  SandboxRecord record_;
  std::vector<pid_t> children_;
};

TEST_F(DeleteTest, KillsAndRemovesWhatTheRecordNames) {
  const auto shim = Sleeper(ProcessRole::kShim);
  const auto vmm = Sleeper(ProcessRole::kVmm);
  const auto virtiofsd = Sleeper(ProcessRole::kVirtiofsd);
  record_.processes = {shim, vmm, virtiofsd};
  Save();
  ASSERT_TRUE(sys::ListenUnix(socket_));
  const auto response = Delete(line_, host_);
  EXPECT_EQ(response.exit_status(), 137U);
  EXPECT_EQ(response.pid(), static_cast<uint32_t>(vmm.pid));
  EXPECT_NEAR(static_cast<double>(response.exited_at().seconds()),
              static_cast<double>(::time(nullptr)), 5);
  for (const auto& process : record_.processes) EXPECT_FALSE(sandbox::IsAlive(process));
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(DeleteTest, WithoutARecordItStillCleansTheUsualPlaces) {
  ASSERT_TRUE(sys::ListenUnix(socket_));
  EXPECT_EQ(Delete(line_, host_).exit_status(), 137U);
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(DeleteTest, SucceedsWithNothingAtAll) {
  ASSERT_TRUE(sys::RemoveTree(root_));
  EXPECT_EQ(Delete(line_, host_).exit_status(), 137U);
  EXPECT_EQ(Delete(line_, host_).exit_status(), 137U);
}

TEST_F(DeleteTest, ABrokenRecordIsRemovedWithTheRest) {
  ASSERT_TRUE(sys::MakeDirs(root_ + "/sbs/web"));
  ASSERT_TRUE(sys::WriteFile(root_ + "/sbs/web/record.json", "{\"version\":1,\"id\":\"we"));
  Delete(line_, host_);
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(DeleteTest, AShimThatEndsInTimeIsNotKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::usleep(30'000);
    ::_exit(0);
  }
  host_.grace = 10s;
  record_.processes = {DescribeProcess(child, ProcessRole::kShim).value()};
  Save();
  Delete(line_, host_);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WNOHANG), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(DeleteTest, AMemberLeavesThePodAloneWhileItsShimLives) {
  WriteSpec(R"({"annotations":{"io.kubernetes.cri.container-type":"container",
                "io.kubernetes.cri.sandbox-id":"web"}})");
  line_.id = "member";
  const auto shim = Sleeper(ProcessRole::kShim);
  const auto vmm = Sleeper(ProcessRole::kVmm);
  record_.processes = {shim, vmm};
  Save();
  const auto response = Delete(line_, host_);
  EXPECT_EQ(response.pid(), static_cast<uint32_t>(vmm.pid));
  EXPECT_TRUE(sandbox::IsAlive(shim));
  EXPECT_TRUE(sandbox::IsAlive(vmm));
  EXPECT_TRUE(sys::Exists(root_ + "/run/vm/web"));

  ::kill(shim.pid, SIGKILL);
  ASSERT_TRUE(sandbox::WaitForEnd(shim, Deadline::After(10s)));
  Delete(line_, host_);
  EXPECT_FALSE(sandbox::IsAlive(vmm)) << "a VM without a shim is of no use";
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(DeleteTest, AFirstContainerThatWasDeletedLeavesTheOthersAlone) {
  const auto shim = Sleeper(ProcessRole::kShim);
  const auto vmm = Sleeper(ProcessRole::kVmm);
  record_.processes = {shim, vmm};
  record_.containers = {"member"};
  Save();
  Delete(line_, host_);
  EXPECT_TRUE(sandbox::IsAlive(shim));
  EXPECT_TRUE(sandbox::IsAlive(vmm));

  record_.containers = {"web", "member"};
  Save();
  Delete(line_, host_);
  EXPECT_FALSE(sandbox::IsAlive(vmm)) << "it was not deleted, so the shim does not obey";
}

TEST_F(DeleteTest, AMemberLeavesAShimAloneThatHasNoRecordYet) {
  WriteSpec(R"({"annotations":{"io.kubernetes.cri.container-type":"container",
                "io.kubernetes.cri.sandbox-id":"web"}})");
  line_.id = "member";
  const auto listener = sys::ListenUnix(socket_);
  Delete(line_, host_);
  EXPECT_TRUE(sys::Exists(socket_));
  EXPECT_TRUE(sys::Exists(root_ + "/run/vm/web"));
}

TEST_F(DeleteTest, LeavesTheNamesakeOfAnotherNamespaceAlone) {
  const auto vmm = Sleeper(ProcessRole::kVmm);
  record_.processes = {vmm};
  Save();
  line_.namespace_name = "other";
  EXPECT_EQ(Delete(line_, host_).pid(), 0U);
  EXPECT_TRUE(sandbox::IsAlive(vmm));
  EXPECT_TRUE(sys::Exists(root_ + "/run/vm/web"));
}

TEST_F(DeleteTest, FindsTheSocketInADirectoryThatContainerdChose) {
  const std::string other = root_ + "/elsewhere/" + socket_.substr(socket_.rfind('/') + 1);
  ASSERT_TRUE(sys::MakeDirs(root_ + "/elsewhere"));
  ASSERT_TRUE(sys::ListenUnix(other));
  ASSERT_TRUE(sys::WriteFile(root_ + "/bundle/address", "unix://" + other));
  Delete(line_, host_);
  EXPECT_FALSE(sys::Exists(other));
}

}  // namespace
}  // namespace kata::shim
