// SPDX-License-Identifier: Apache-2.0
//
// Against a directory that looks like sysfs.
#include "guest/agent/storage/block_device.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "guest/agent/storage/storage.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

TEST(ParsePciPath, ReadsSlotsAndFunctions) {
  const auto path = ParsePciPath("02/1f.7");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->root_bus, 0u);
  EXPECT_EQ(path->slots, (std::vector<PciSlot>{{2, 0}, {0x1f, 7}}));
}

TEST(ParsePciPath, KnowsExpanderBusesByTheirNumber) {
  const auto path = ParsePciPath("20/00/02");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->root_bus, 0x20u);
  EXPECT_EQ(path->slots, (std::vector<PciSlot>{{0, 0}, {2, 0}}));
}

TEST(ParsePciPath, RefusesOtherText) {
  for (const char* text : {"", "/", "2", "02/", "/02", "20", "20/01", "02.8", "02.", "02.00", "zz",
                           "02//03", "..", "002", "1f/20/03"}) {
    EXPECT_FALSE(ParsePciPath(text)) << text;
  }
  std::string deep = "00";
  for (int i = 0; i < 40; ++i) deep += "/00";
  EXPECT_FALSE(ParsePciPath(deep));
}

TEST(ParseScsiAddress, TakesTwoDecimalNumbers) {
  EXPECT_EQ(ParseScsiAddress("3:14")->target, 3u);
  EXPECT_EQ(ParseScsiAddress("3:14")->lun, 14u);
  for (const char* text : {"", "1", ":", "1:", ":1", "1:2:3", "-1:0", "a:b"}) {
    EXPECT_FALSE(ParseScsiAddress(text)) << text;
  }
}

class FakeSysfs : public testing::Test {
 protected:
  void SetUp() override {
    sysfs_ = testing::TempDir() + "sysfs-test-XXXXXX";
    ASSERT_NE(::mkdtemp(sysfs_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(sysfs_); }
  void AddDisk(const std::string& directory, std::string_view numbers) {
    ASSERT_TRUE(sys::MakeDirs(sysfs_ + directory));
    ASSERT_TRUE(sys::WriteFile(sysfs_ + directory + "/dev", numbers));
  }
  std::string sysfs_;
};

TEST_F(FakeSysfs, FindsAVirtioDiskBehindABridge) {
  AddDisk("/devices/pci0000:00/0000:00:02.0/0000:01:03.0/virtio5/block/vdb", "252:16\n");
  AddDisk("/devices/pci0000:00/0000:00:02.0/0000:01:04.0/virtio6/block/vdc", "252:32\n");
  const auto disk = FindPciDisk(*ParsePciPath("02/03"), sysfs_);
  ASSERT_TRUE(disk);
  EXPECT_EQ(disk->path, "/dev/vdb");
  EXPECT_EQ(disk->major_number, 252u);
  EXPECT_EQ(disk->minor_number, 16u);
  EXPECT_FALSE(FindPciDisk(*ParsePciPath("02/05"), sysfs_));
  EXPECT_FALSE(FindPciDisk(*ParsePciPath("02"), sysfs_));
  EXPECT_FALSE(FindPciDisk(*ParsePciPath("02/03.1"), sysfs_));
}

TEST_F(FakeSysfs, FindsAnNvmeDisk) {
  AddDisk("/devices/pci0000:00/0000:00:05.0/nvme/nvme0/nvme0n1", "259:0\n");
  const auto disk = FindPciDisk(*ParsePciPath("05"), sysfs_);
  ASSERT_TRUE(disk);
  EXPECT_EQ(disk->path, "/dev/nvme0n1");
}

TEST_F(FakeSysfs, FindsAScsiDiskOfAnyHost) {
  AddDisk("/class/scsi_device/2:0:1:7/device/block/sdb", "8:16\n");
  const auto disk = FindScsiDisk(*ParseScsiAddress("1:7"), sysfs_);
  ASSERT_TRUE(disk);
  EXPECT_EQ(disk->path, "/dev/sdb");
  EXPECT_FALSE(FindScsiDisk(*ParseScsiAddress("1:8"), sysfs_));
}

TEST_F(FakeSysfs, AsksEveryScsiHostToLook) {
  ASSERT_TRUE(sys::MakeDirs(sysfs_ + "/class/scsi_host/host0"));
  ASSERT_TRUE(sys::WriteFile(sysfs_ + "/class/scsi_host/host0/scan", ""));
  ScanScsi(*ParseScsiAddress("1:7"), sysfs_);
  EXPECT_EQ(*sys::ReadFile(sysfs_ + "/class/scsi_host/host0/scan"), "0 1 7");
}

TEST(FindNode, TakesOnlyBlockDevices) {
  EXPECT_FALSE(FindNode("/dev/null"));
  EXPECT_FALSE(FindNode("/dev/no-such-disk"));
}

TEST(StorageIsReady, NeedsNoDeviceForFileSystemsWithoutDisk) {
  agent::Storage storage;
  storage.set_driver("ephemeral");
  EXPECT_TRUE(*StorageIsReady(storage));
  storage.set_driver("image_guest_pull");
  EXPECT_EQ(StorageIsReady(storage).error().code(), Code::kInvalidArgument);
  storage.set_driver("blk");
  storage.set_source("not a path");
  EXPECT_EQ(StorageIsReady(storage).error().code(), Code::kInvalidArgument);
  storage.set_source("1f/1f");
  EXPECT_FALSE(*StorageIsReady(storage));
}

TEST(DeviceIsReady, RefusesTypesThatItDoesNotKnow) {
  agent::Device device;
  device.set_type("vfio-pci");
  EXPECT_EQ(DeviceIsReady(device).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace kata::guest
