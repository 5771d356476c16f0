// SPDX-License-Identifier: Apache-2.0
#include "host/plan/root_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<storage::OverlayTable> FindNone(const std::string& directory) {
  return Fail(Code::kUnimplemented, directory + " is asked for");
}

std::string ReasonOf(const RootSource& root, const FindOverlay& find = FindNone) {
  const auto table = PlanRootLayers(root, find);
  return table ? "" : table.error().message();
}

TEST(RootLayers, ComeFromTheOneOverlayOfAMountList) {
  const sys::TemporaryDir dir("root-layers");
  for (const char* name : {"/1", "/fs", "/work"}) {
    ASSERT_TRUE(sys::MakeDirs(dir.path() + name));
  }
  const std::vector<std::string> options = {"index=off", "lowerdir=" + dir.path() + "/1",
                                            "upperdir=" + dir.path() + "/fs",
                                            "workdir=" + dir.path() + "/work"};
  const auto table =
      PlanRootLayers({.mounts = {{"overlay", "overlay", options}}, .read_only = true}, FindNone);
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_THAT(table->lowers, ElementsAre(HasSubstr("/1")));
  EXPECT_THAT(table->upper, HasSubstr("/fs"));
  EXPECT_TRUE(table->read_only);
}

TEST(RootLayers, AreNotForOtherRoots) {
  EXPECT_THAT(ReasonOf({.mounts = {{"bind", "/a", {"rbind"}}}}), HasSubstr("of type bind"));
  EXPECT_THAT(ReasonOf({.mounts = {{"overlay", "overlay", {}}, {"bind", "/a", {}}}}),
              HasSubstr("2 mounts"));
  EXPECT_THAT(ReasonOf({.directory = "/merged"}), HasSubstr("/merged is asked for"));
  const auto many = [](const std::string&) -> Result<storage::OverlayTable> {
    return storage::OverlayTable{std::vector<std::string>(129, "/l"), "", ""};
  };
  EXPECT_THAT(ReasonOf({.directory = "/merged"}, many), HasSubstr("129 layers"));
}

TEST(RootLayers, HaveDirectoriesInUseByMountsAndTheFirstProcess) {
  oci::Spec spec;
  for (const char* destination : {"/proc", "/dev", "/dev/pts", "/etc/hosts", "/etc/resolv.conf",
                                  "/var/lib/data/", "/var/lib/data/below"}) {
    spec.add_mounts()->set_destination(destination);
  }
  spec.mutable_process()->set_cwd("/app/run");
  EXPECT_THAT(DirectoriesInUse(spec), ElementsAre("/etc", "/var/lib", "/app/run"));
  spec.mutable_process()->set_cwd("/dev/shm");
  EXPECT_THAT(DirectoriesInUse(spec), ElementsAre("/etc", "/var/lib"));
}

TEST(RootLayers, NeedTwoDriversOfTheGuest) {
  EXPECT_TRUE(CheckDrivers({"blk", "loop", "overlayfs"}, false));
  EXPECT_THAT(CheckDrivers({"blk", "overlayfs"}, false).error().message(),
              HasSubstr("driver loop"));
  EXPECT_THAT(CheckDrivers({"blk", "loop"}, false).error().message(),
              HasSubstr("driver overlayfs"));
}

TEST(RootLayers, NeedAKernelThatKeepsLinksWhereTheirUpperIsShared) {
  EXPECT_TRUE(CheckDrivers({"loop", "overlayfs", "overlayfs-links"}, true));
  EXPECT_THAT(CheckDrivers({"loop", "overlayfs"}, true).error().message(),
              HasSubstr("several names"));
}

std::vector<std::string> OptionsOf(const agent::Storage& storage) {
  return {storage.options().begin(), storage.options().end()};
}

TEST(RootLayers, AreMountedBeforeTheOverlayOfThem) {
  const auto storages =
      PlanOverlayStorages({.layers = {{"k2", "loop", "/share/k2"}, {"k1", "loop", "/share/k1"}},
                           .upper = "/u",
                           .work = "/w"},
                          "/root");
  ASSERT_EQ(storages.size(), 3);
  EXPECT_EQ(storages[0].driver(), "loop");
  EXPECT_EQ(storages[0].source(), "/share/k2");
  EXPECT_EQ(storages[0].fstype(), "erofs");
  EXPECT_THAT(OptionsOf(storages[0]), ElementsAre("ro"));
  EXPECT_EQ(storages[0].mount_point(), "/run/kata-containers/layers/k2");
  EXPECT_EQ(storages[2].driver(), "overlayfs");
  EXPECT_EQ(storages[2].mount_point(), "/root");
  EXPECT_THAT(
      OptionsOf(storages[2]),
      ElementsAre("lowerdir+=/run/kata-containers/layers/k2",
                  "lowerdir+=/run/kata-containers/layers/k1", "upperdir=/u", "workdir=/w",
                  "index=off", "uuid=null", "xino=off", "redirect_dir=off", "metacopy=off"));
}

TEST(RootLayers, HaveAnUpperDirectoryOnTopThatIsNotWrittenTo) {
  const auto storages = PlanOverlayStorages(
      {.layers = {{"k1", "loop", "/share/k1"}}, .upper = "/u", .work = ""}, "/root");
  EXPECT_THAT(
      OptionsOf(storages.back()),
      ElementsAre("lowerdir+=/u/.", "lowerdir+=/run/kata-containers/layers/k1", "ro", "index=off",
                  "uuid=null", "xino=off", "redirect_dir=off", "metacopy=off"));
}

TEST(RootLayers, HaveAnUpperDirectoryOnADiskThatIsMountedBefore) {
  const GuestOverlay overlay{
      .layers = {{"k1", "loop", "/share/k1"}},
      .disk = GuestOverlay::Disk{"loop", "/share/rw.img", "ext4", {"noatime"}, GuestUpperOf("c")},
      .upper = GuestUpperOf("c") + "/upper",
      .work = GuestUpperOf("c") + "/work"};
  const auto storages = PlanOverlayStorages(overlay, "/root");
  ASSERT_EQ(storages.size(), 3);
  EXPECT_EQ(storages[1].driver(), "loop");
  EXPECT_EQ(storages[1].source(), "/share/rw.img");
  EXPECT_EQ(storages[1].fstype(), "ext4");
  EXPECT_THAT(OptionsOf(storages[1]), ElementsAre("noatime"));
  EXPECT_EQ(storages[1].mount_point(), "/run/kata-containers/uppers/c");
  EXPECT_THAT(OptionsOf(storages[2]),
              testing::IsSupersetOf({"upperdir=/run/kata-containers/uppers/c/upper",
                                     "workdir=/run/kata-containers/uppers/c/work"}));
  EXPECT_EQ(DescribeLayers(1, 0, overlay), "layers (1 image), upper disk");
}

TEST(RootLayers, ThatTheGuestCannotMountAreTold) {
  const auto told = [](const char* words) { return IsOfOverlay(Error(Code::kUnknown, words)); };
  EXPECT_TRUE(told("CreateContainer: storage overlayfs on \"/root\": fsconfig: Invalid argument"));
  EXPECT_TRUE(told("storage loop on \"/run/kata-containers/layers/k1\": mount"));
  EXPECT_TRUE(told("storage scsi on \"/run/kata-containers/uppers/c\": mount"));
  EXPECT_FALSE(told("storage scsi on \"/root\": mount"));
}

TEST(RootLayers, AreDescribedInWords) {
  EXPECT_EQ(DescribeLayers(5, 1, {.layers = {}, .upper = "/u", .work = "/w"}),
            "layers (5 images, 1 made here), upper shared");
  EXPECT_EQ(DescribeLayers(1, 0, {.layers = {}, .upper = "", .work = ""}), "layers (1 image)");
}

TEST(RootLayers, HaveAnUpperLayerOnADiskThatBeginsAsTheHosts) {
  const GuestOverlay overlay{.layers = {{"k", "loop", "/share/k"}},
                             .disk = {{.driver = "scsi",
                                       .source = "0:3",
                                       .type = "ext4",
                                       .options = {},
                                       .mount_point = "/run/disk"}},
                             .upper = "/run/disk/upper",
                             .work = "/run/disk/work",
                             .upper_of = "/share/diff"};
  const auto storages = PlanOverlayStorages(overlay, "/root");
  ASSERT_EQ(storages.size(), 3u);
  EXPECT_EQ(storages[1].driver(), "scsi");
  EXPECT_THAT(OptionsOf(storages[2]), testing::Contains("upperdir=/run/disk/upper"));
  EXPECT_THAT(storages[2].driver_options(),
              ElementsAre("io.katacontainers.volume.overlayfs.create_directory=/run/disk/work",
                          "io.katacontainers.kata-cpp.upper_of=/share/diff"));
  EXPECT_EQ(DescribeLayers(1, 0, overlay), "layers (1 image), upper disk");
}

TEST(RootLayers, AreDisksWhereNothingIsShared) {
  GuestOverlay overlay{.layers = {{"k", "scsi", "0:1"}}};
  PutUpperOn("scsi", "0:2", "c", &overlay);
  overlay.upper_at = "1048576:4194304";
  const auto storages = PlanOverlayStorages(overlay, "/root");
  ASSERT_EQ(storages.size(), 3u);
  EXPECT_EQ(storages[0].driver(), "scsi");
  EXPECT_EQ(storages[0].source(), "0:1");
  EXPECT_EQ(storages[1].source(), "0:2");
  EXPECT_EQ(storages[1].mount_point(), GuestUpperOf("c"));
  EXPECT_THAT(storages[2].driver_options(),
              ElementsAre("io.katacontainers.volume.overlayfs.create_directory=" +
                              GuestUpperOf("c") + "/work",
                          "io.katacontainers.kata-cpp.upper_at=1048576:4194304"));
}

}  // namespace
}  // namespace kata::sandbox
