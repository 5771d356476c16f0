// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <gmock/gmock.h>

#include "host/hypervisor/qemu/fake_monitor.h"
#include "sys/files.h"

namespace kata::hypervisor::qemu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Disk NullDisk(const std::string& id, Disk::Bus bus = Disk::Bus::kBlock) {
  return {.id = id, .path = "/dev/null", .bus = bus};
}

Nic TwoQueues(const std::string& id) {
  Nic nic{.id = id, .mac = {0x02, 0, 0, 0, 0, 1}};
  for (int queue = 0; queue < 2; ++queue) {
    nic.tap_fds.push_back(*sys::Open("/dev/null", O_RDWR));
    nic.vhost_fds.push_back(*sys::Open("/dev/null", O_RDWR));
  }
  return nic;
}

class Hotplug : public FakeMonitorTest {
 protected:
  // A machine with one place for a disk, and the disk that has it.
  void StartWithADisk() {
    Start({.hotplug_ports = 1});
    ASSERT_TRUE(vm_->Attach(NullDisk("first"), Soon()));
  }
  // Nothing is as if it had never been asked for.
  void ExpectNothing() {
    EXPECT_THAT(monitor_->devices(), IsEmpty());
    EXPECT_THAT(monitor_->back_ends(), IsEmpty());
    EXPECT_THAT(monitor_->descriptors(), IsEmpty());
  }
};

TEST_F(Hotplug, GivesAPlaceBackWhenTheGuestLetsGoLate) {
  StartWithADisk();
  monitor_->GuestHoldsDevices(true);
  EXPECT_EQ(vm_->Detach("first", AtOnce()).error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(vm_->Attach(NullDisk("second"), Soon()).error().code(), Code::kResourceExhausted);
  monitor_->LetGo("first");
  Settle();
  const auto second = vm_->Attach(NullDisk("second"), Soon());
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->pci_path, "0f/00");
  EXPECT_THAT(monitor_->back_ends(), ElementsAre("drive-second"));
  EXPECT_EQ(monitor_->descriptors().size(), 1u);
}

TEST_F(Hotplug, ASecondDetachFindsThatTheGuestHasLetGo) {
  StartWithADisk();
  monitor_->GuestHoldsDevices(true);
  EXPECT_FALSE(vm_->Detach("first", AtOnce()));
  monitor_->LetGo("first");
  Settle();
  const auto detached = vm_->Detach("first", Soon());
  EXPECT_TRUE(detached) << detached.error().message();
  ExpectNothing();
}

TEST_F(Hotplug, ASecondDetachWaitsForWhatTheFirstHasBegun) {
  StartWithADisk();
  monitor_->GuestHoldsDevices(true);
  EXPECT_FALSE(vm_->Detach("first", AtOnce()));
  monitor_->GuestHoldsDevices(false);
  const auto detached = vm_->Detach("first", Soon());
  EXPECT_TRUE(detached) << detached.error().message();
  ExpectNothing();
}

TEST_F(Hotplug, GivesAPlaceBackWhenTheGuestEjectsADeviceByItself) {
  StartWithADisk();
  monitor_->LetGo("first");
  Settle();
  EXPECT_TRUE(vm_->Attach(NullDisk("second"), Soon()));
  EXPECT_EQ(vm_->Detach("first", Soon()).error().code(), Code::kNotFound);
}

TEST_F(Hotplug, AFailedPlugLeavesNothingInQemu) {
  Start();
  for (const char* command : {"add-fd", "blockdev-add", "device_add"}) {
    monitor_->Refuse(command);
    const auto disk = vm_->Attach(NullDisk("disk"), Soon());
    ASSERT_FALSE(disk);
    EXPECT_THAT(disk.error().message(), HasSubstr(command));
    ExpectNothing();
  }
  for (const char* command : {"getfd", "netdev_add", "device_add"}) {
    monitor_->Refuse(command);
    EXPECT_FALSE(vm_->Attach(TwoQueues("nic"), Soon()));
    ExpectNothing();
  }
  for (const char* command : {"getfd", "chardev-add", "device_add"}) {
    monitor_->Refuse(command);
    VhostUserFs share{.id = "share", .tag = "tag", .fd = *sys::Open("/dev/null", O_RDWR)};
    EXPECT_FALSE(vm_->Attach(std::move(share), Soon()));
    ExpectNothing();
  }
}

TEST_F(Hotplug, ALateAnswerToAFailedPlugLeavesNothingInQemu) {
  Start();
  for (const char* command : {"add-fd", "blockdev-add"}) {
    monitor_->AnswerLate(command);
    EXPECT_FALSE(vm_->Attach(NullDisk("disk"), AtOnce()));
    ExpectNothing();
  }
  monitor_->AnswerLate("netdev_add");
  EXPECT_FALSE(vm_->Attach(TwoQueues("nic"), AtOnce()));
  ExpectNothing();
}

TEST_F(Hotplug, ADeviceThatComesAfterItsDeadlineKeepsItsPlaceUntilItIsGone) {
  Start({.hotplug_ports = 2});
  monitor_->GuestHoldsDevices(true);
  monitor_->AnswerLate("device_add");
  EXPECT_EQ(vm_->Attach(NullDisk("late"), AtOnce()).error().code(), Code::kDeadlineExceeded);
  const auto other = vm_->Attach(NullDisk("other"), Soon());
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_EQ(other->pci_path, "10/00");
  monitor_->LetGo("late");
  Settle();
  const auto again = vm_->Attach(NullDisk("late"), Soon());
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->pci_path, "0f/00");
}

TEST_F(Hotplug, ADeviceThatNeverCameLeavesItsPlace) {
  Start({.hotplug_ports = 1});
  monitor_->Refuse("device_add");
  monitor_->AnswerLate("device_add");
  EXPECT_FALSE(vm_->Attach(NullDisk("late"), AtOnce()));
  ExpectNothing();
  EXPECT_TRUE(vm_->Attach(NullDisk("late"), Soon()));
}

TEST_F(Hotplug, ScsiDisksHaveLunsOfTheirOwn) {
  Start();
  EXPECT_EQ(vm_->Attach(NullDisk("a", Disk::Bus::kScsi), Soon())->scsi, "0:0");
  EXPECT_EQ(vm_->Attach(NullDisk("b", Disk::Bus::kScsi), Soon())->scsi, "0:1");
  ASSERT_TRUE(vm_->Detach("a", Soon()));
  EXPECT_EQ(vm_->Attach(NullDisk("c", Disk::Bus::kScsi), Soon())->scsi, "0:0");
}

}  // namespace
}  // namespace kata::hypervisor::qemu
