// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/hypervisor/memory_file.h"
#include "host/hypervisor/testing/test_guest.h"
#include "host/snapshot/read.h"
#include "host/snapshot/write.h"
#include "sys/files.h"
#include "sys/testing/file_bytes.h"

namespace kata::snapshot {
namespace {

using hypervisor::SavedVm;
using sys::testing::Get;
using sys::testing::Put;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint32_t kBootMib = 64;
constexpr uint32_t kModuleMib = 1;
constexpr uint64_t kMib = 1 << 20;
constexpr off_t kPlace = 5'000'000;

uint64_t SizeOf(int fd) {
  struct stat status{};
  EXPECT_EQ(::fstat(fd, &status), 0);
  return static_cast<uint64_t>(status.st_size);
}

class SnapshotOfAVm : public ::testing::Test {
 protected:
  SnapshotOfAVm() {
    shape_.boot_mib = kBootMib;
    shape_.memory_slots = 1;
    shape_.max_mib = kBootMib + kModuleMib;
    shape_.modules = {{.slot = 0, .address = uint64_t{4} << 30, .size_mib = kModuleMib}};
    shape_.boot_vcpus = 1;
    shape_.vcpus = 2;
    shape_.max_vcpus = 2;
    shape_.devices = {{.id = "layer", .lun = 0, .read_only = true}, {.id = "root", .lun = 1}};
    Put(memory_.get(), kPlace, "of the guest");
    Put(module_.get(), 100, "added");
    disk_ = *sys::Open(folder_ / "disk", O_RDWR | O_CREAT, 0600);
    EXPECT_EQ(::ftruncate(disk_.get(), kPlace + 1000), 0);
    Put(disk_.get(), kPlace, "a file");
  }

  // As Hypervisor::Save answers.
  SavedVm Save(bool shared = true) {
    SavedVm saved{.shape = shape_, .vmm = ::getpid(), .memory = {}, .disks = {}};
    saved.memory.push_back({kBootMib, *sys::Duplicate(memory_.get()), shared});
    saved.memory.push_back({kModuleMib, *sys::Duplicate(module_.get()), true});
    saved.disks["root"] = *sys::Duplicate(disk_.get());
    return saved;
  }
  Result<Manifest> Write(const std::string& id, SavedVm saved) {
    Writer writer = KATA_TRY(Writer::Begin(store_, id));
    KATA_TRY(sys::WriteFile(writer.state_folder() + "/devices", "state"));
    KATA_TRY(writer.Capture(std::move(saved)));
    // It goes on, and nothing of that is in the snapshot.
    Put(disk_.get(), kPlace, "later!");
    return std::move(writer).Publish({.sandbox_id = "sandbox", .shim = "{}"});
  }
  void MustWrite(const std::string& id) {
    const auto written = Write(id, Save());
    ASSERT_TRUE(written) << written.error().message();
  }
  std::vector<std::string> Names() const { return sys::ListDirectory(root_); }

  hypervisor::testing::TempDir folder_;
  const std::string root_ = folder_ / "store";
  const Store store_{root_, 1000};
  hypervisor::MachineShape shape_;
  sys::UniqueFd memory_ = *hypervisor::MakeMemoryFile(kBootMib);
  sys::UniqueFd module_ = *hypervisor::MakeMemoryFile(kModuleMib);
  sys::UniqueFd disk_;
};

TEST_F(SnapshotOfAVm, IsTheMachineOfItsMoment) {
  MustWrite("a");
  auto snapshot = Snapshot::Open(store_, "a");
  ASSERT_TRUE(snapshot) << snapshot.error().message();
  EXPECT_EQ(snapshot->manifest().machine, shape_);
  EXPECT_EQ(snapshot->manifest().sandbox_id, "sandbox");
  EXPECT_EQ(snapshot->manifest().shim, "{}");
  EXPECT_LT(snapshot->manifest().bytes(), kMib) << "what was never touched is not stored";
  EXPECT_LT(store_.List()[0].bytes, 2 * kMib);

  hypervisor::VmSpec spec;
  spec.cpus.extra_features = "pmu=off";
  ASSERT_TRUE(snapshot->BeginMemory(&spec));
  // Whoever removes it meanwhile.
  ASSERT_TRUE(store_.Remove("a"));
  ASSERT_TRUE(snapshot->FinishMemory());
  EXPECT_TRUE(spec.restored);
  EXPECT_EQ(spec.memory.boot_mib, kBootMib);
  EXPECT_EQ(spec.cpus.plugged, 1u);
  EXPECT_EQ(spec.cpus.extra_features, "pmu=off");
  EXPECT_FALSE(spec.memory.shared) << "any number of VMs go on from one file";
  EXPECT_EQ(SizeOf(spec.memory.file.get()), kBootMib * kMib);
  EXPECT_EQ(Get(spec.memory.file.get(), kPlace, 12), "of the guest");
  ASSERT_THAT(spec.memory.modules, SizeIs(1));
  EXPECT_EQ(spec.memory.modules[0].address, uint64_t{4} << 30);
  EXPECT_EQ(Get(spec.memory.modules[0].file.get(), 100, 5), "added");

  ASSERT_TRUE(snapshot->WriteState(folder_ / "state"));
  EXPECT_EQ(*sys::ReadFile(folder_ / "state/devices"), "state");
  const auto to = sys::Open(folder_ / "new-disk", O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::ftruncate(to->get(), kPlace + 5000), 0);
  Put(to->get(), 10, "what was there before");
  const auto wrote = snapshot->WriteDisk("root", to->get());
  ASSERT_TRUE(wrote) << wrote.error().message();
  EXPECT_EQ(Get(to->get(), kPlace, 6), "a file");
  EXPECT_EQ(Get(to->get(), 10, 4), std::string(4, '\0'));
  EXPECT_EQ(SizeOf(to->get()), uint64_t{kPlace + 5000});
}

TEST_F(SnapshotOfAVm, HasTheLayersThatNobodyWrites) {
  const std::string named = folder_ / "image";
  ASSERT_TRUE(sys::WriteFile(named, "an image"));
  std::map<std::string, sys::UniqueFd> images;
  images["layer"] = *sys::Open(named, O_RDONLY);
  images["of another machine"] = *sys::Open(named, O_RDONLY);
  shape_.devices.push_back({.id = "small", .lun = 2, .read_only = true});
  const std::string gone = folder_ / "small";
  ASSERT_TRUE(sys::WriteFile(gone, "made for it alone"));
  images["small"] = *sys::Open(gone, O_RDONLY);
  ASSERT_TRUE(sys::RemoveFile(gone));

  auto writer = Writer::Begin(store_, "a");
  ASSERT_TRUE(sys::WriteFile(writer->state_folder() + "/devices", "state"));
  ASSERT_TRUE(writer->Capture(Save()));
  const auto added = writer->AddLayers(images);
  ASSERT_TRUE(added) << added.error().message();
  ASSERT_TRUE(std::move(*writer).Publish({.sandbox_id = "sandbox", .shim = "{}"}));
  struct stat status{};
  ASSERT_EQ(::stat(named.c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 2u) << "a further name costs nothing";
  ASSERT_TRUE(sys::RemoveFile(named));

  auto snapshot = Snapshot::Open(store_, "a");
  ASSERT_TRUE(snapshot) << snapshot.error().message();
  const auto layers = snapshot->Layers();
  ASSERT_TRUE(layers);
  ASSERT_THAT(*layers, SizeIs(2));
  EXPECT_EQ(Get(layers->at("layer").get(), 0, 8), "an image");
  EXPECT_EQ(Get(layers->at("small").get(), 0, 8), "made for");
  EXPECT_EQ(*snapshot->SizeOfDisk("root"), uint64_t{kPlace + 1000});

  ASSERT_TRUE(sys::WriteFile(root_ + "/a/layer1", "shorter"));
  EXPECT_EQ(Snapshot::Open(store_, "a").error().code(), Code::kDataLoss);
}

TEST_F(SnapshotOfAVm, OfPrivateMemoryHasTheFilesPagesAndTheGuests) {
  const size_t size = kBootMib * kMib;
  auto* mapped = static_cast<char*>(
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory_.get(), 0));
  ASSERT_NE(mapped, MAP_FAILED);
  mapped[kPlace] = 'O';
  mapped[size - 1] = 'e';
  const auto written = Write("a", Save(false));
  ASSERT_EQ(::munmap(mapped, size), 0);
  ASSERT_TRUE(written) << written.error().message();
  auto snapshot = Snapshot::Open(store_, "a");
  ASSERT_TRUE(snapshot);
  hypervisor::VmSpec spec;
  ASSERT_TRUE(snapshot->BeginMemory(&spec));
  ASSERT_TRUE(snapshot->FinishMemory());
  EXPECT_EQ(Get(spec.memory.file.get(), kPlace, 12), "Of the guest");
  EXPECT_EQ(Get(spec.memory.file.get(), static_cast<off_t>(size - 1), 1), "e");
}

TEST_F(SnapshotOfAVm, WhoseGuestGivesPagesBackIsCopiedForEachMachine) {
  shape_.free_page_reporting = true;
  MustWrite("a");
  auto snapshot = Snapshot::Open(store_, "a");
  ASSERT_TRUE(snapshot);
  hypervisor::VmSpec spec;
  ASSERT_TRUE(snapshot->BeginMemory(&spec));
  ASSERT_TRUE(snapshot->FinishMemory());
  EXPECT_TRUE(spec.memory.shared);
  EXPECT_EQ(Get(spec.memory.file.get(), kPlace, 12), "of the guest");
  Put(spec.memory.file.get(), kPlace, "holes are here");
  auto again = Snapshot::Open(store_, "a");
  ASSERT_TRUE(again);
  hypervisor::VmSpec other;
  ASSERT_TRUE(again->BeginMemory(&other));
  EXPECT_TRUE(again->FinishMemory());
}

TEST_F(SnapshotOfAVm, DisksThatDoNotFitAreRefused) {
  MustWrite("a");
  const auto snapshot = Snapshot::Open(store_, "a");
  ASSERT_TRUE(snapshot);
  const auto small = hypervisor::MakeMemoryFile(1);
  const auto refused = snapshot->WriteDisk("root", small->get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(refused.error().message(), HasSubstr("has 1048576"));
  EXPECT_EQ(snapshot->WriteDisk("layer", small->get()).error().code(), Code::kNotFound);
}

// Reads all of it; the first error.
Code ReadAll(const Store& store) {
  const auto read = [&]() -> Result<void> {
    auto snapshot = KATA_TRY(Snapshot::Open(store, "a"));
    hypervisor::VmSpec spec;
    KATA_TRY(snapshot.BeginMemory(&spec));
    KATA_TRY(snapshot.FinishMemory());
    const auto disk = KATA_TRY(hypervisor::MakeMemoryFile(8));
    return snapshot.WriteDisk("root", disk.get());
  }();
  if (read) return Code::kOk;
  EXPECT_THAT(read.error().message(), HasSubstr("damaged"));
  return read.error().code();
}

TEST_F(SnapshotOfAVm, AFlippedBitOrAMissingFileIsFoundInEach) {
  struct Case {
    std::string file;
    off_t at;
  };
  for (const Case& each :
       {Case{"manifest.json", 100}, Case{"state/devices", 2}, Case{"memory", kPlace + 3},
        Case{"module1", 101}, Case{"disk1", kPlace + 1}}) {
    const std::string path = root_ + "/a/" + each.file;
    MustWrite("a");
    Put(disk_.get(), kPlace, "a file");
    ASSERT_EQ(ReadAll(store_), Code::kOk);
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
    {
      const auto file = sys::Open(path, O_RDWR);
      ASSERT_TRUE(file) << path;
      std::string byte = Get(file->get(), each.at, 1);
      byte[0] ^= 1;
      Put(file->get(), each.at, byte);
    }
    EXPECT_EQ(ReadAll(store_), Code::kDataLoss) << path;
    ASSERT_EQ(::truncate(path.c_str(), 50), 0);
    EXPECT_EQ(ReadAll(store_), Code::kDataLoss) << path;
    ASSERT_TRUE(sys::RemoveFile(path));
    EXPECT_EQ(ReadAll(store_), Code::kDataLoss) << path;
    ASSERT_TRUE(store_.Remove("a"));
  }
}

// The child's exit status, or minus the signal that ended it.
int RunInChild(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_F(SnapshotOfAVm, OfAWriterThatIsKilledNothingIsTaken) {
  for (int phase = 0; phase < 3; ++phase) {
    const int ended = RunInChild([&] {
      auto writer = Writer::Begin(store_, "a");
      if (!writer) return 1;
      if (phase > 0 && !sys::WriteFile(writer->state_folder() + "/devices", "state")) return 1;
      if (phase > 1 && !writer->Capture(Save())) return 1;
      ::kill(::getpid(), SIGKILL);
      return 1;
    });
    ASSERT_EQ(ended, -SIGKILL);
    EXPECT_EQ(Snapshot::Open(store_, "a").error().code(), Code::kNotFound);
    EXPECT_THAT(store_.List(), IsEmpty());
  }
  MustWrite("a");
  EXPECT_THAT(Names(), SizeIs(1));
  EXPECT_EQ(ReadAll(store_), Code::kOk);
}

TEST_F(SnapshotOfAVm, AFullDiskLeavesNothing) {
  const int ended = RunInChild([&] {
    // The nearest thing to a full disk that needs no disk: no file may grow beyond that.
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{2 * kMib, 2 * kMib};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    return Write("a", Save()) ? 3 : 0;
  });
  EXPECT_EQ(ended, 0);
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(SnapshotOfAVm, AVmmThatHasGoneIsAnErrorAndLeavesNothing) {
  SavedVm saved = Save(false);
  saved.vmm = 0x7fffffff;
  EXPECT_FALSE(Write("a", std::move(saved)));
  EXPECT_THAT(Names(), IsEmpty());
}

}  // namespace
}  // namespace kata::snapshot
