// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "host/hypervisor/memory_file.h"
#include "host/hypervisor/qemu/fake_monitor.h"
#include "sys/files.h"

namespace kata::hypervisor::qemu {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

VmSpec GrowingSpec() {
  VmSpec spec;
  spec.cpus = {.boot = 1, .max = 4};
  spec.memory.boot_mib = 256;
  spec.memory.hotplug_slots = 4;
  spec.memory.max_mib = 2048;
  spec.memory.file = *MakeMemoryFile(256);
  return spec;
}

class SavedState : public FakeMonitorTest {
 protected:
  std::string Error(const Result<SavedVm>& saved) {
    return saved ? "it was saved" : saved.error().message();
  }

  testing::TempDir folder_;
};

TEST_F(SavedState, IsWhatQemuWroteAsOftenAsWanted) {
  Start(GrowingSpec());
  for (int i = 0; i < 2; ++i) {
    const auto saved = vm_->Save(folder_.path(), Soon());
    ASSERT_TRUE(saved) << saved.error().message();
    EXPECT_EQ(*sys::ReadFile(folder_ / "devices"), "devices");
    EXPECT_THAT(monitor_->descriptors(), IsEmpty());
    ASSERT_THAT(saved->memory, SizeIs(1));
    EXPECT_EQ(saved->memory[0].size_mib, 256u);
    EXPECT_TRUE(saved->memory[0].shared);
    ASSERT_TRUE(vm_->Resume(Soon()));
  }
}

TEST_F(SavedState, KnowsThePlacesOfAllThatWasPlugged) {
  Start(GrowingSpec());
  const std::string path = folder_ / "image";
  ASSERT_TRUE(sys::WriteFile(path, "image"));
  for (const char* id : {"gone", "root", "layer"}) {
    Disk disk{.id = id, .path = path, .read_only = id == std::string("layer"), .serial = "s"};
    ASSERT_TRUE(vm_->Attach(std::move(disk), Soon()));
  }
  ASSERT_TRUE(vm_->Detach("gone", Soon()));
  ASSERT_TRUE(vm_->Resize({.vcpus = 3, .memory_mib = 384}, Soon()));

  const auto saved = vm_->Save(folder_.path(), Soon());
  ASSERT_TRUE(saved) << saved.error().message();
  const MachineShape& shape = saved->shape;
  EXPECT_EQ(shape.boot_vcpus, 1u);
  EXPECT_EQ(shape.vcpus, 3u);
  ASSERT_THAT(shape.modules, SizeIs(1));
  EXPECT_EQ(shape.modules[0], (ModuleShape{.slot = 0, .address = 4ull << 30, .size_mib = 128}));
  ASSERT_THAT(saved->memory, SizeIs(2));
  EXPECT_EQ(saved->memory[1].size_mib, 128u);
  ASSERT_THAT(shape.devices, SizeIs(2));
  EXPECT_EQ(shape.devices[0].id, "root");
  EXPECT_EQ(shape.devices[0].lun, 1u);
  EXPECT_TRUE(shape.devices[0].plugged);
  EXPECT_EQ(shape.devices[1].id, "layer");
  EXPECT_TRUE(shape.devices[1].read_only);
  EXPECT_THAT(saved->disks, SizeIs(1)) << "what nobody writes is not copied";
  std::string content(5, '\0');
  ASSERT_EQ(::pread(saved->disks.at("root").get(), content.data(), content.size(), 0), 5);
  EXPECT_EQ(content, "image");
}

TEST_F(SavedState, OfARestoredMachineHasTheSamePlacesAgain) {
  VmSpec spec = GrowingSpec();
  spec.restored = true;
  spec.devices.push_back(Disk{.id = "root", .path = "/x", .place = 3});
  Start(std::move(spec));
  const auto saved = vm_->Save(folder_.path(), Soon());
  EXPECT_THAT(Error(saved), HasSubstr("disk \"root\": QEMU does not say which file it has"));
  Disk disk{.id = "new", .path = folder_ / "image"};
  ASSERT_TRUE(sys::WriteFile(disk.path, "image"));
  EXPECT_EQ(vm_->Attach(std::move(disk), Soon())->scsi, "0:0");
  EXPECT_TRUE(vm_->Detach("root", Soon())) << "it was plugged, if by another";
}

TEST_F(SavedState, IsRefusedWhereFilesAreShared) {
  VmSpec spec = GrowingSpec();
  spec.devices.push_back(VhostUserFs{.id = "share", .tag = "t", .fd = {}, .socket = "/s"});
  Start(std::move(spec));
  const auto saved = vm_->Save(folder_.path(), Soon());
  EXPECT_THAT(Error(saved), HasSubstr("shared_fs = \"none\""));
  EXPECT_FALSE(sys::Exists(folder_ / "devices"));
}

TEST_F(SavedState, IsRefusedWhereTheMemoryIsTheVmms) {
  Start();
  EXPECT_THAT(Error(vm_->Save(folder_.path(), Soon())), HasSubstr("enable_hugepages"));
}

TEST_F(SavedState, ThatIsRefusedLeavesNoDescriptorInQemu) {
  Start(GrowingSpec());
  monitor_->Refuse("xen-save-devices-state");
  EXPECT_THAT(Error(vm_->Save(folder_.path(), Soon())), HasSubstr("save the VM's state"));
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
  ASSERT_TRUE(sys::WriteFile(folder_ / "devices", "state"));
  monitor_->Refuse("migrate-incoming");
  EXPECT_FALSE(vm_->Restore(folder_.path(), Soon()));
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
}

TEST_F(SavedState, IsNotTakenForReadBecauseAnEarlierOneWas) {
  Start(GrowingSpec());
  ASSERT_TRUE(sys::WriteFile(folder_ / "devices", "state"));
  ASSERT_TRUE(vm_->Restore(folder_.path(), Soon()));
  monitor_->MigrationsHang();
  const auto restored = vm_->Restore(folder_.path(), AtOnce());
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code(), Code::kDeadlineExceeded);
}

TEST_F(SavedState, AFolderWithoutOneIsAnErrorBeforeQemuHearsOfIt) {
  Start(GrowingSpec());
  EXPECT_EQ(vm_->Restore(folder_.path(), Soon()).error().code(), Code::kNotFound);
}

TEST(MachineShape, DecidesNothingOfHowTheVmmIsRun) {
  VmSpec spec = GrowingSpec();
  spec.cpus.extra_features = "pmu=off";
  spec.vmm_extra_args = {"-monitor", "none"};
  spec.seccomp = true;
  MachineShape shape = ShapeOf(VmSpec());
  shape.vcpus = shape.boot_vcpus + 1;
  shape.max_vcpus = 8;
  GiveShape(shape, &spec);
  EXPECT_TRUE(spec.restored);
  EXPECT_EQ(spec.cpus.plugged, 1u);
  EXPECT_EQ(spec.cpus.max, 8u);
  EXPECT_EQ(spec.cpus.extra_features, "pmu=off");
  EXPECT_THAT(spec.vmm_extra_args, SizeIs(2));
  EXPECT_TRUE(spec.seccomp);
}

TEST_F(SavedState, MemoryThatQemuRefusesLeavesNoFileThere) {
  Start(GrowingSpec());
  monitor_->Refuse("device_add");
  const auto grown = vm_->Resize({.memory_mib = 384}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->now.memory_mib, 256u);
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
}

}  // namespace
}  // namespace kata::hypervisor::qemu
