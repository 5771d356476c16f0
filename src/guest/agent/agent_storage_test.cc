// SPDX-License-Identifier: Apache-2.0
//
// Needs root: what the agent mounts for containers.
#include <fcntl.h>

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guest/agent/agent_test_bed.h"
#include "guest/agent/sandbox.h"
#include "guest/agent/service/services.h"
#include "proto/guest.pb.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

class AgentStorageTest : public AgentTestBed {};

// As a virtiofs is entered where the host has a mount.
TEST_F(AgentStorageTest, LeavesWhatTheHostNoLongerShares) {
  const std::string path = std::string(kSharedDir) + "/.volumes/0-data";
  const auto agents = sys::Open(fmt::format("/proc/{}/ns/mnt", agent_.pid()), O_RDONLY);
  ASSERT_TRUE(agents);
  ASSERT_TRUE(sys::RunInMountNamespace(agents->get(), [&]() -> Result<void> {
    KATA_TRY(sys::MakeDirs(path));
    return sys::Mount("tmpfs", path, "tmpfs", 0UL);
  }));
  const auto entered = [&] {
    const auto text = sys::ReadFile(fmt::format("/proc/{}/mountinfo", agent_.pid()));
    return text.value_or("").find(path) != std::string::npos;
  };
  const auto forget = [&](const std::string& what) {
    ForgetPathsRequest request;
    request.add_paths(what);
    const auto done = Do("ForgetPaths", request, "kata.cpp.v1.Guest");
    return done ? Code::kOk : done.error().code();
  };
  EXPECT_TRUE(entered());
  for (const std::string& other : {std::string("/proc"), std::string(kSharedDir), path + "/..",
                                   std::string(kSharedDir) + "/../../x"}) {
    EXPECT_EQ(forget(other), Code::kInvalidArgument) << other;
  }
  EXPECT_TRUE(entered());
  EXPECT_EQ(forget(path), Code::kOk);
  EXPECT_FALSE(entered());
  EXPECT_EQ(forget(path), Code::kOk) << "what is not there is fine";
}

TEST_F(AgentStorageTest, AStoragesFileSystemIsReconfiguredAndNothingElse) {
  auto request = ContainerOf("c1", {"sleep", "100"});
  agent::Storage& storage = *request.add_storages();
  storage.set_driver("ephemeral");
  storage.set_source("tmpfs");
  storage.set_fstype("tmpfs");
  storage.set_mount_point(dir_ + "/storage");
  ASSERT_TRUE(Do("CreateContainer", request));
  ReconfigureMountRequest reconfigure;
  reconfigure.set_mount_point(storage.mount_point());
  const auto done = Do("ReconfigureMount", reconfigure, kGuestService);
  EXPECT_TRUE(done) << done.error().message();
  reconfigure.set_mount_point("/proc");
  EXPECT_EQ(Do("ReconfigureMount", reconfigure, kGuestService).error().code(), Code::kNotFound);
}

TEST_F(AgentStorageTest, AnUpperLayerOnADiskIsBroughtBackAtAPauseAndAtTheEnd) {
  for (const char* name : {"lower", "host", "disk"}) ASSERT_TRUE(sys::MakeDirs(dir_ + "/" + name));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/host/begun", "with"));
  auto request = ContainerOf(
      "c1",
      {"sh", "-c", "cat /upper/begun; echo 1 > /upper/one; echo up; read x; rm /upper/begun"});
  oci::Mount& mount = *request.mutable_oci()->add_mounts();
  mount.set_destination("/upper");
  mount.set_type("bind");
  mount.set_source(dir_ + "/merged");
  mount.add_options("bind");
  agent::Storage& storage = *request.add_storages();
  storage.set_driver("overlayfs");
  storage.set_source("overlay");
  storage.set_fstype("overlay");
  storage.set_mount_point(dir_ + "/merged");
  for (const std::string& option :
       {"lowerdir+=" + dir_ + "/lower", "upperdir=" + dir_ + "/disk/upper",
        "workdir=" + dir_ + "/disk/work", std::string("index=off"), std::string("uuid=null")}) {
    storage.add_options(option);
  }
  storage.add_driver_options("io.katacontainers.volume.overlayfs.create_directory=" + dir_ +
                             "/disk/work");
  storage.add_driver_options("io.katacontainers.kata-cpp.upper_of=" + dir_ + "/host");
  const auto created = Do("CreateContainer", request);
  ASSERT_TRUE(created) << created.error().message();
  ASSERT_TRUE(StartContainer("c1"));
  EXPECT_EQ(StdoutUntil("c1", "", "up"), "withup\n");
  EXPECT_FALSE(sys::Exists(dir_ + "/host/one"));
  agent::PauseContainerRequest pause;
  pause.set_container_id("c1");
  const auto paused = Do("PauseContainer", pause);
  ASSERT_TRUE(paused) << paused.error().message();
  EXPECT_EQ(*sys::ReadFile(dir_ + "/host/one"), "1\n");
  agent::ResumeContainerRequest resume;
  resume.set_container_id("c1");
  ASSERT_TRUE(Do("ResumeContainer", resume));
  ASSERT_TRUE(Write("c1", "", "on\n"));
  EXPECT_EQ(*Wait("c1"), 0);
  EXPECT_FALSE(sys::Exists(dir_ + "/host/begun")) << "who hears of the end sees the files";
  const auto removed = RemoveContainer("c1");
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_FALSE(sys::Exists(dir_ + "/host/begun"));
  EXPECT_TRUE(sys::Exists(dir_ + "/host/one"));
}

}  // namespace
}  // namespace kata::guest
