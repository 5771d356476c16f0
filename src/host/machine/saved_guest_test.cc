// SPDX-License-Identifier: Apache-2.0
#include "host/machine/saved_guest.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "host/hypervisor/memory_file.h"
#include "host/machine/machine.h"
#include "host/machine/testing/fake_host.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

using hypervisor::DeviceShape;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

hypervisor::MachineShape Shape() {
  hypervisor::MachineShape shape;
  shape.devices = {
      {.id = "net0", .kind = DeviceShape::Kind::kNic, .mac = {2, 0, 0, 0, 0, 1}, .queues = 2},
      {.id = "disk0", .lun = 0, .plugged = true, .serial = "s"},
      {.id = "layer",
       .port = 2,
       .plugged = true,
       .bus = hypervisor::Disk::Bus::kBlock,
       .read_only = true},
      {.id = "net7", .kind = DeviceShape::Kind::kNic, .port = 1, .plugged = true, .queues = 1},
      {.id = "disk12", .lun = 3, .plugged = true},
      {.id = "disk13x", .lun = 4},
      {.id = "disk99999999999", .lun = 5}};
  return shape;
}

TEST(SavedMachine, HasItsNicsWhereTheyWere) {
  const auto nics = NicsOf(Shape());
  ASSERT_EQ(nics.size(), 2u);
  EXPECT_EQ(nics[0].id, "net0");
  EXPECT_EQ(nics[0].queues, 2u);
  EXPECT_FALSE(nics[0].port);
  EXPECT_EQ(nics[1].port, 1u);
}

TEST(SavedMachine, HasItsDisksWhereTheyWereAndMissesNone) {
  std::map<std::string, sys::UniqueFd> files;
  for (const char* id : {"disk0", "layer", "disk12", "disk13x"}) {
    files[id] = *hypervisor::MakeMemoryFile(1);
  }
  const auto missing = DisksOf(Shape(), files);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(missing.error().message(), HasSubstr("disk99999999999"));

  for (const DeviceShape& device : Shape().devices) {
    files[device.id] = *hypervisor::MakeMemoryFile(1);
  }
  const auto disks = DisksOf(Shape(), files);
  ASSERT_TRUE(disks) << disks.error().message();
  ASSERT_EQ(disks->size(), 5u);
  EXPECT_EQ((*disks)[0].place, 0u);
  EXPECT_EQ((*disks)[0].serial, "s");
  EXPECT_TRUE((*disks)[0].fd);
  EXPECT_EQ((*disks)[1].place, 2u);
  EXPECT_TRUE((*disks)[1].read_only);
  EXPECT_FALSE((*disks)[3].place) << "it was there from the start";
}

TEST(SavedMachine, NamesItsNextDiskAsNoneIsNamed) {
  EXPECT_EQ(NextDiskNumber(Shape()), 13u);
  EXPECT_EQ(NextDiskNumber({}), 0u);
}

class SavedGuestTest : public testing::Test {
 protected:
  SavedGuestTest()
      : loop_(sys::EventLoop::Create().value()),
        thread_([this] { EXPECT_TRUE(loop_->Run()); }),
        host_(*loop_, directory_.path()),
        machine_("pod", *loop_, host_.host()) {
    host_.SetAgentScript([this](const AgentCall& call, std::function<void(Result<void>)> go) {
      bool refused = false;
      {
        const MutexLock lock(mutex_);
        calls_.push_back(call.method);
        refused = call.method == refused_;
      }
      go(refused ? Fail(refusal_, "refused") : Result<void>());
    });
    machine_.Identify(
        {.sandbox_id = "pod", .owner = "/socket", .on_end = [] {}, .on_network = [] {}});
    config_ = config::Load(config::LoadOptions::OfThisProcess(host_.WriteConfiguration())).value();
  }
  ~SavedGuestTest() override {
    machine_.Stop();
    EXPECT_EQ(host_.vms(), 0u);
    EXPECT_THAT(host_.Leftovers(), testing::IsEmpty());
    loop_->Stop();
    thread_.join();
  }

  static Deadline Soon() { return Deadline::After(std::chrono::seconds(60)); }
  std::vector<std::string> calls() {
    const MutexLock lock(mutex_);
    return std::exchange(calls_, {});
  }
  void Refuse(const std::string& method, Code code = Code::kInternal) {
    const MutexLock lock(mutex_);
    refused_ = method;
    refusal_ = code;
  }
  void Boot() {
    ASSERT_TRUE(machine_.Open(config_));
    ASSERT_TRUE(machine_.Boot({}, {}, ""));
    (void)calls();
  }
  Result<StillGuest> Hold() {
    auto writer = KATA_TRY(snapshot::Writer::Begin(store_, "a"));
    return StillGuest::Hold(machine_.guest(), writer);
  }
  // Boots, with a disk, and saves.
  void SaveOne() {
    Boot();
    const auto guest = machine_.guest();
    hypervisor::Disk disk{.id = guest->NextDiskId(), .path = "/x"};
    ASSERT_TRUE(guest->vm()->Attach(std::move(disk), Soon()));
    auto writer = snapshot::Writer::Begin(store_, "a");
    ASSERT_TRUE(writer) << writer.error().message();
    auto still = StillGuest::Hold(guest, *writer);
    ASSERT_TRUE(still) << still.error().message();
    EXPECT_TRUE(host_.paused());
    EXPECT_TRUE(still->GoOn());
    EXPECT_FALSE(host_.paused());
    const auto published = std::move(*writer).Publish({.sandbox_id = "pod", .shim = "{}"});
    ASSERT_TRUE(published) << published.error().message();
    machine_.Stop();
    (void)calls();
  }
  Result<void> Restore(std::map<std::string, sys::UniqueFd> disks) {
    auto saved = KATA_TRY(snapshot::Snapshot::Open(store_, "a"));
    KATA_TRY(machine_.Open(config_));
    return machine_.Restore({.snapshot = &saved,
                             .disks = std::move(disks),
                             .first_stream = 1001,
                             .renewal = {.hostname = "new"}},
                            {}, "");
  }
  std::map<std::string, sys::UniqueFd> Disks() {
    std::map<std::string, sys::UniqueFd> disks;
    disks["disk0"] = *hypervisor::MakeMemoryFile(1);
    return disks;
  }

  const sys::TemporaryDir directory_{"kata-saved-guest"};
  const snapshot::Store store_{directory_.path() + "/snapshots", 1000};
  const std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
  Mutex mutex_;
  std::vector<std::string> calls_ KATA_GUARDED_BY(mutex_);
  std::string refused_ KATA_GUARDED_BY(mutex_);
  std::atomic<Code> refusal_ = Code::kInternal;
  FakeHost host_;
  Machine machine_;
  config::Loaded config_;
};

TEST_F(SavedGuestTest, GoesOnInAnotherMachineAndIsNotMadeAnew) {
  SaveOne();
  const auto restored = Restore(Disks());
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_TRUE(machine_.booted());
  EXPECT_FALSE(host_.paused());
  EXPECT_EQ(machine_.guest()->origin(), "snapshot");
  EXPECT_THAT(host_.disks(), ElementsAre("disk0"));
  EXPECT_EQ(machine_.guest()->NextDiskId(), "disk1");
  const auto heard = calls();
  EXPECT_THAT(heard, Contains("Renew"));
  EXPECT_THAT(heard, Not(Contains("CreateSandbox")));
  EXPECT_THAT(heard, Not(Contains("Thaw"))) << "that is for its start";
}

TEST_F(SavedGuestTest, WithoutItsDiskDoesNotStart) {
  SaveOne();
  const auto restored = Restore({});
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code(), Code::kInvalidArgument);
  EXPECT_FALSE(machine_.is_open());
}

TEST_F(SavedGuestTest, OfADamagedSnapshotEndsAgain) {
  SaveOne();
  ASSERT_EQ(::truncate((store_.root() + "/a/disk1").c_str(), 5), 0);
  EXPECT_EQ(Restore(Disks()).error().code(), Code::kDataLoss);
}

TEST_F(SavedGuestTest, StandsStillUntilItGoesOn) {
  Boot();
  auto still = Hold();
  ASSERT_TRUE(still) << still.error().message();
  EXPECT_THAT(calls(), ElementsAre("Freeze"));
  EXPECT_TRUE(host_.paused());
  EXPECT_TRUE(still->GoOn());
  EXPECT_THAT(calls(), ElementsAre("Renew", "Thaw"));
  EXPECT_FALSE(host_.paused());
  EXPECT_TRUE(still->GoOn()) << "a second time is nothing";
  EXPECT_THAT(calls(), ElementsAre());
}

TEST_F(SavedGuestTest, GoesOnWhereItsAnswerComesTooLate) {
  Boot();
  Refuse("Freeze", Code::kDeadlineExceeded);
  EXPECT_EQ(Hold().error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(calls(), ElementsAre("Freeze", "Renew", "Thaw"));
  EXPECT_FALSE(host_.paused());
}

TEST_F(SavedGuestTest, GoesOnWithWhoeverLetsItGo) {
  Boot();
  ASSERT_TRUE(Hold());
  EXPECT_THAT(calls(), ElementsAre("Freeze", "Renew", "Thaw"));
  EXPECT_FALSE(host_.paused());
  EXPECT_THAT(store_.List(), testing::IsEmpty());
}

TEST_F(SavedGuestTest, GoesOnWhereSavingFails) {
  Boot();
  auto writer = snapshot::Writer::Begin(store_, "a");
  ASSERT_TRUE(writer);
  // What the copy of the memory is to be called is taken.
  ASSERT_TRUE(sys::MakeDirs(store_.root() + "/.new-a/memory"));
  EXPECT_FALSE(StillGuest::Hold(machine_.guest(), *writer));
  EXPECT_FALSE(host_.paused());
  EXPECT_THAT(calls(), ElementsAre("Freeze", "Renew", "Thaw"));
}

TEST_F(SavedGuestTest, IsLeftAloneWhereItsContainersDoNotComeToRest) {
  Boot();
  Refuse("Freeze");
  EXPECT_THAT(Hold().error().message(), HasSubstr("freeze"));
  EXPECT_THAT(calls(), ElementsAre("Freeze"));
  EXPECT_TRUE(machine_.alive());
}

TEST_F(SavedGuestTest, LosesItsMachineWhereItCannotGoOn) {
  Boot();
  Refuse("Thaw");
  auto still = Hold();
  ASSERT_TRUE(still);
  EXPECT_THAT(still->GoOn().error().message(), HasSubstr("thaw"));
  host_.AwaitDeaths();
}

TEST_F(SavedGuestTest, StandsStillWhereItIsToEnd) {
  Boot();
  {
    auto still = Hold();
    ASSERT_TRUE(still);
    still->Abandon();
  }
  EXPECT_TRUE(host_.paused());
  EXPECT_THAT(calls(), ElementsAre("Freeze"));
}

}  // namespace
}  // namespace kata::sandbox
