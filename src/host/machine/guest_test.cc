// SPDX-License-Identifier: Apache-2.0
//
// Guests that begin, do not begin, are given up on the way, and end: on a fake host.
#include "host/machine/guest.h"

#include <dirent.h>

#include <chrono>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/machine/guest_start.h"
#include "host/machine/machine.h"
#include "host/machine/testing/fake_host.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

using std::chrono::seconds;

// What a test has happen at a step of a start; an error is how the step ends.
using Act = std::function<Result<void>()>;

// A step of a start: where it can be made to fail, or somebody can come in between.
struct Step {
  const char* name;
  void (*install)(FakeHost& host, MachineHost& seam, Act act);
};

void OnCall(FakeHost& host, const char* method, Act act) {
  host.SetAgentScript([method = std::string(method), act = std::move(act)](
                          const AgentCall& call, const std::function<void(Result<void>)>& go) {
    go(call.method == method ? act() : Result<void>());
  });
}

const Step kSteps[] = {
    {"Network",
     [](FakeHost&, MachineHost& seam, Act act) {
       seam.open_network = [act = std::move(act)](
                               const std::string&,
                               network::Model) -> Result<std::unique_ptr<GuestNetwork>> {
         KATA_TRY(act());
         return nullptr;
       };
     }},
    {"Vmm", [](FakeHost& host, MachineHost&, Act act) { host.SetStartScript(std::move(act)); }},
    {"Channel",
     [](FakeHost& host, MachineHost&, Act act) { host.SetConnectScript(std::move(act)); }},
    {"Agent", [](FakeHost& host, MachineHost&, Act act) { OnCall(host, "Check", std::move(act)); }},
    {"Sandbox",
     [](FakeHost& host, MachineHost&, Act act) { OnCall(host, "CreateSandbox", std::move(act)); }},
};

size_t Descriptors() {
  size_t count = 0;
  DIR* dir = ::opendir("/proc/self/fd");
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}

bool WaitUntil(const std::function<bool()>& met) {
  const Deadline deadline = Deadline::After(seconds(30));
  while (!met()) {
    if (deadline.Passed()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class GuestTest : public testing::TestWithParam<Step> {
 protected:
  GuestTest()
      : loop_(sys::EventLoop::Create().value()),
        thread_([this] { EXPECT_TRUE(loop_->Run()); }),
        host_(*loop_, directory_.path()),
        seam_(host_.host()) {
    config_ = config::Load(config::LoadOptions::OfThisProcess(host_.WriteConfiguration())).value();
  }
  ~GuestTest() override {
    EXPECT_EQ(host_.vms(), 0u);
    loop_->Stop();
    thread_.join();
  }

  std::unique_ptr<Machine> OpenMachine() {
    auto machine = std::make_unique<Machine>("pod", *loop_, seam_);
    machine->Identify(
        {.sandbox_id = "pod", .owner = "/socket", .on_end = [this] { ends_++; }, .on_network = {}});
    EXPECT_TRUE(machine->Open(config_));
    return machine;
  }

  GuestSetting Setting() {
    return {.loop = *loop_,
            .host = seam_,
            .record = record_,
            .config = std::make_shared<config::Config>(config_.config),
            .name = "pod",
            .directory = directory_.path() + "/run/vm/pod",
            .shared_directory = "",
            .network = "",
            .stop = stop_.get_token()};
  }

  Result<std::unique_ptr<StartedGuest>> Start() {
    const GuestSetting setting = Setting();
    Phases phases;
    bool template_wanted = false;
    return StartGuest(setting, {.vcpus = 1, .memory_mib = 256}, phases, &template_wanted);
  }

  // How many descriptors are open once the loop has let go of what has ended.
  bool NothingIsLeft(size_t descriptors) {
    return WaitUntil([&] { return host_.vms() == 0 && Descriptors() == descriptors; });
  }

  const sys::TemporaryDir directory_{"kata-guest"};
  const std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
  FakeHost host_;
  MachineHost seam_;
  RecordKeeper record_{seam_.roots};
  config::Loaded config_;
  std::stop_source stop_;
  std::atomic<int> ends_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Steps, GuestTest, testing::ValuesIn(kSteps),
                         [](const auto& step) { return step.param.name; });

TEST_P(GuestTest, ABootThatFailsAtAnyStepLeavesNothing) {
  GetParam().install(host_, seam_, [] { return Result<void>(Fail(Code::kInternal, "refused")); });
  const size_t before = Descriptors();
  {
    const auto machine = OpenMachine();
    const auto booted = machine->Boot({}, {}, "");
    ASSERT_FALSE(booted);
    EXPECT_THAT(booted.error().message(), testing::HasSubstr("refused"));
    EXPECT_EQ(host_.vms(), 0u);
    EXPECT_FALSE(machine->is_open());
    EXPECT_EQ(machine->guest(), nullptr);
  }
  EXPECT_THAT(host_.Leftovers(), testing::IsEmpty());
  EXPECT_EQ(ends_, 0);
  EXPECT_TRUE(NothingIsLeft(before)) << Descriptors() << " descriptors, " << before << " before";
}

TEST_P(GuestTest, ABootThatIsAbortedAtAnyStepLeavesNothing) {
  std::unique_ptr<Machine> machine;
  GetParam().install(host_, seam_, [&machine] {
    machine->Abort();
    return Result<void>();
  });
  const size_t before = Descriptors();
  machine = OpenMachine();
  const auto booted = machine->Boot({}, {}, "");
  EXPECT_EQ(booted.error().code(), Code::kCancelled) << booted.error().message();
  EXPECT_FALSE(machine->is_open());
  EXPECT_THAT(host_.Leftovers(), testing::IsEmpty());
  EXPECT_EQ(ends_, 0);
  machine.reset();
  EXPECT_TRUE(NothingIsLeft(before)) << Descriptors() << " descriptors, " << before << " before";
}

TEST_P(GuestTest, ABootThatIsStoppedAtAnyStepHasEndedWhenStopReturns) {
  std::promise<void> reached;
  std::promise<void> proceed;
  GetParam().install(host_, seam_,
                     [&, go_on = proceed.get_future().share(), first = true]() mutable {
                       if (std::exchange(first, false)) reached.set_value();
                       go_on.wait();
                       return Result<void>();
                     });
  const auto machine = OpenMachine();
  auto booted = std::async(std::launch::async, [&] { return machine->Boot({}, {}, ""); });
  reached.get_future().wait();
  auto stopped = std::async(std::launch::async, [&] { machine->Stop(); });
  ASSERT_TRUE(WaitUntil([&] { return !machine->alive(); }));
  proceed.set_value();
  stopped.get();
  EXPECT_EQ(host_.vms(), 0u);
  EXPECT_THAT(host_.Leftovers(), testing::IsEmpty());
  EXPECT_EQ(booted.get().error().code(), Code::kCancelled);
}

TEST_P(GuestTest, AVmThatDiesAtAnyStepFailsTheBootAndIsNotToldOf) {
  GetParam().install(host_, seam_, [this] {
    host_.KillVms();
    host_.AwaitDeaths();
    return Result<void>();
  });
  const auto machine = OpenMachine();
  const auto booted = machine->Boot({}, {}, "");
  // Before its process is there nothing dies; after the last step it may be a moment too late.
  if (booted) {
    if (std::string_view(GetParam().name) == "Sandbox") {
      EXPECT_TRUE(WaitUntil([&] { return ends_ == 1; })) << "its end was lost";
    }
  } else {
    EXPECT_EQ(booted.error().code(), Code::kUnavailable) << booted.error().message();
    EXPECT_EQ(ends_, 0);
    EXPECT_THAT(host_.Leftovers(), testing::IsEmpty());
  }
  machine->Stop();
}

TEST_F(GuestTest, GoesWithWhoeverLetsItGo) {
  auto started = Start();
  ASSERT_TRUE(started) << started.error().message();
  EXPECT_EQ((*started)->origin, "boot");
  EXPECT_EQ((*started)->began_with.memory_mib, 256u);
  EXPECT_EQ(host_.vms(), 1u);
  started->reset();
  EXPECT_EQ(host_.vms(), 0u);
}

TEST_F(GuestTest, TellsOfAnEndThatCameBeforeAnybodyWatched) {
  const auto started = Start();
  ASSERT_TRUE(started) << started.error().message();
  VmProcesses& processes = *(*started)->processes;
  host_.KillVms();
  ASSERT_TRUE(WaitUntil([&] { return !processes.alive(); }));
  std::promise<std::string> told;
  processes.OnEnd([&](const std::string& reason) { told.set_value(reason); });
  EXPECT_EQ(told.get_future().get(), "the VMM was killed");
  EXPECT_EQ(processes.agent()->StartContainer("a").error().code(), Code::kUnavailable);
}

TEST_F(GuestTest, TellsNobodyOfAnEndThatWasAskedFor) {
  const auto started = Start();
  ASSERT_TRUE(started) << started.error().message();
  (*started)->processes->OnEnd([&](const std::string&) { ends_++; });
  (*started)->Stop();
  (*started)->Stop();
  EXPECT_FALSE((*started)->processes->alive());
  // What the loop had to do for its end has been done by then.
  std::promise<void> settled;
  loop_->Post([&] { settled.set_value(); });
  settled.get_future().wait();
  EXPECT_EQ(ends_, 0);
}

TEST_F(GuestTest, ThatIsNoLongerWantedBeforeItBeginsDoesNotBegin) {
  stop_.request_stop();
  EXPECT_EQ(Start().error().code(), Code::kCancelled);
}

TEST_F(GuestTest, ThatHasWaitedIsAdoptedWithWhatItIs) {
  auto waiting = Start();
  ASSERT_TRUE(waiting) << waiting.error().message();
  const pid_t pid = (*waiting)->processes->vm()->pid();
  const GuestSetting setting = Setting();
  Phases phases;
  auto adopted = AdoptGuest(setting, *std::move(waiting), phases);
  ASSERT_TRUE(adopted) << adopted.error().message();
  EXPECT_EQ((*adopted)->origin, "warm");
  EXPECT_EQ((*adopted)->processes->vm()->pid(), pid);
  // One that does not get on with its new life is gone.
  host_.KillVms();
  ASSERT_TRUE(WaitUntil([&] { return !(*adopted)->processes->alive(); }));
  EXPECT_EQ(AdoptGuest(setting, *std::move(adopted), phases).error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace kata::sandbox
