// SPDX-License-Identifier: Apache-2.0
#include "host/plan/data_disks.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using storage::DataContent;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class DataDisksTest : public testing::Test {
 protected:
  DataDisksTest() {
    spec_.mutable_process()->mutable_capabilities()->add_bounding("CAP_SYS_ADMIN");
  }

  void Mount(const std::string& source, const std::string& destination,
             std::vector<std::string> options = {"rbind"}) {
    volumes_.push_back({.mount = static_cast<int>(volumes_.size()),
                        .source = source,
                        .destination = destination,
                        .options = std::move(options)});
  }
  Result<std::vector<DataDisk>> Plan() {
    return PlanDataDisks(
        spec_, config_,
        [this](const storage::DataImage& image) -> Result<DataContent> {
          const auto known = content_.find(image.directory);
          if (known == content_.end()) return Fail(Code::kNotFound, "no such directory");
          return known->second;
        },
        &volumes_);
  }

  oci::Spec spec_;
  config::RuntimeConfig config_;
  std::map<std::string, DataContent> content_;
  std::vector<SharedVolume> volumes_;
};

TEST_F(DataDisksTest, AreEmptyVolumesOfDaemonsAndThoseThatHoldTheImage) {
  content_ = {{"/v/new", DataContent::kNothing},
              {"/v/old", DataContent::kImage},
              {"/v/data", DataContent::kNothing}};
  Mount("/v/new", "/var/lib/docker");
  Mount("/v/data", "/data");
  Mount("/v/old", "/var/lib//containerd/", {"bind", "rw"});
  const auto disks = Plan();
  ASSERT_TRUE(disks);
  ASSERT_THAT(*disks, SizeIs(2));
  EXPECT_EQ((*disks)[0].image.Path(), "/v/new/kata-disk.ext4");
  EXPECT_EQ((*disks)[0].volume.mount, 0);
  EXPECT_EQ((*disks)[1].volume.source, "/v/old");
  ASSERT_THAT(volumes_, SizeIs(1));
  EXPECT_EQ(volumes_[0].source, "/v/data");
}

TEST_F(DataDisksTest, LeaveFilesAsTheyAre) {
  content_ = {{"/v/files", DataContent::kFiles}, {"/v/new", DataContent::kNothing}};
  Mount("/v/files", "/var/lib/docker");
  Mount("/v/missing", "/var/lib/containerd");
  Mount("/v/new", "/var/lib/containers", {"rbind", "ro"});
  const auto disks = Plan();
  ASSERT_TRUE(disks);
  EXPECT_THAT(*disks, IsEmpty());
  EXPECT_THAT(volumes_, SizeIs(3));
}

TEST_F(DataDisksTest, AreForThoseWhoMayMount) {
  content_ = {{"/v/new", DataContent::kNothing}};
  Mount("/v/new", "/var/lib/docker");
  spec_.mutable_process()->mutable_capabilities()->clear_bounding();
  const auto disks = Plan();
  ASSERT_TRUE(disks);
  EXPECT_THAT(*disks, IsEmpty());
  EXPECT_THAT(volumes_, SizeIs(1));
}

TEST_F(DataDisksTest, AreThoseOfTheList) {
  content_ = {{"/v/new", DataContent::kNothing}};
  config_.data_disks = {"/srv/builds/"};
  Mount("/v/new", "/var/lib/docker");
  Mount("/v/new", "/srv/builds");
  const auto disks = Plan();
  ASSERT_TRUE(disks);
  ASSERT_THAT(*disks, SizeIs(1));
  EXPECT_EQ((*disks)[0].volume.destination, "/srv/builds");
}

TEST_F(DataDisksTest, DoNotHideFilesThatCameBesideTheImage) {
  content_ = {{"/v/both", DataContent::kImageAndFiles}};
  Mount("/v/both", "/var/lib/docker");
  const auto disks = Plan();
  ASSERT_FALSE(disks);
  EXPECT_EQ(disks.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(disks.error().message(), HasSubstr("\"/v/both/kata-disk.ext4\""));
}

class RootDataDisksTest : public DataDisksTest {
 protected:
  RootDataDisksTest() { content_ = {{"/layers/7", DataContent::kFiles}}; }
  Result<std::vector<DataDisk>> PlanRoot() {
    const DataRoot root{.beside = "/layers/7", .look = [this](const std::string& path) {
                          const auto known = root_.find(path);
                          return known == root_.end() ? storage::RootPlace::kNothing
                                                      : known->second;
                        }};
    return PlanRootDataDisks(
        spec_, config_,
        [this](const storage::DataImage& image) -> Result<DataContent> {
          return content_.at(image.directory);
        },
        root);
  }
  void AddMount(const std::string& destination) {
    spec_.add_mounts()->set_destination(destination);
  }

  std::map<std::string, storage::RootPlace> root_;
};

TEST_F(RootDataDisksTest, AreThoseOfDaemonsInTheImageAndEmptyDirectories) {
  root_ = {{"/usr/sbin/dockerd", storage::RootPlace::kOther},
           {"/var/lib/buildkit", storage::RootPlace::kEmptyDirectory},
           {"/var/lib/containers", storage::RootPlace::kOther},
           {"/usr/bin/podman", storage::RootPlace::kOther}};
  AddMount("/proc");
  const auto disks = PlanRoot();
  ASSERT_TRUE(disks);
  ASSERT_THAT(*disks, SizeIs(2));
  EXPECT_EQ((*disks)[0].image.Path(), "/layers/7/kata-disk-var-lib-docker.ext4");
  EXPECT_EQ((*disks)[0].volume.destination, "/var/lib/docker");
  EXPECT_EQ((*disks)[0].volume.mount, -1);
  EXPECT_EQ((*disks)[1].volume.destination, "/var/lib/buildkit");
}

TEST_F(RootDataDisksTest, AreNotWhereTheCallerMountsOrTheRootIsReadOnly) {
  root_ = {{"/usr/sbin/dockerd", storage::RootPlace::kOther},
           {"/usr/bin/containerd", storage::RootPlace::kOther},
           {"/usr/bin/k3s", storage::RootPlace::kOther},
           {"/usr/bin/buildkitd", storage::RootPlace::kOther}};
  AddMount("/var/lib/docker/");
  AddMount("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs");
  AddMount("/var/lib/rancher");
  const auto disks = PlanRoot();
  ASSERT_TRUE(disks);
  ASSERT_THAT(*disks, SizeIs(1));
  EXPECT_EQ((*disks)[0].volume.destination, "/var/lib/buildkit");
  spec_.mutable_root()->set_readonly(true);
  EXPECT_THAT(*PlanRoot(), IsEmpty());
}

TEST_F(RootDataDisksTest, AreKeptAndDoNotHideFilesThatCameLater) {
  content_ = {{"/layers/7", DataContent::kImageAndFiles}};
  config_.data_disks = {"/var/lib/docker"};
  const auto disks = PlanRoot();
  ASSERT_TRUE(disks);
  ASSERT_THAT(*disks, SizeIs(1));
  EXPECT_FALSE((*disks)[0].is_new);
  root_ = {{"/var/lib/docker", storage::RootPlace::kOther}};
  EXPECT_EQ(PlanRoot().error().code(), Code::kFailedPrecondition);
}

TEST(DataDiskStorage, IsALoopDeviceMountedUnderTheImagesNameInTheShare) {
  const agent::Storage storage = DataDiskStorage("/run/shared/.volumes/3-disk.ext4");
  EXPECT_EQ(storage.driver(), "loop");
  EXPECT_EQ(storage.source(), "/run/shared/.volumes/3-disk.ext4");
  EXPECT_EQ(storage.mount_point(), "/run/kata-containers/disks/3-disk.ext4");
  EXPECT_THAT(storage.options(), Contains("discard"));
  EXPECT_TRUE(IsDataDisk(storage));
}

TEST(RunsSystemd, GoesByTheNamesThatItHas) {
  const auto runs = [](const char* program) {
    oci::Spec spec;
    spec.mutable_process()->add_args(program);
    return RunsSystemd(spec);
  };
  EXPECT_TRUE(runs("/sbin/init"));
  EXPECT_TRUE(runs("/usr/lib/systemd/systemd"));
  EXPECT_TRUE(runs("systemd"));
  EXPECT_FALSE(runs("/init"));
  EXPECT_FALSE(runs("dockerd"));
  EXPECT_FALSE(RunsSystemd({}));
}

TEST(DataDiskStorage, ThatTheGuestCannotMountIsTold) {
  const auto told = [](const char* words) { return IsOfDataDisk(Error(Code::kUnknown, words)); };
  EXPECT_TRUE(told(
      "CreateContainer: storage loop on \"/run/kata-containers/disks/3-disk.ext4\": the kernel "
      "has no loop devices"));
  EXPECT_FALSE(told("storage loop on \"/run/kata-containers/layers/k1\": mount"));
}

}  // namespace
}  // namespace kata::sandbox
