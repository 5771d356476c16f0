// SPDX-License-Identifier: Apache-2.0
//
// A pod under many random calls at once, with callers that give up, guests that answer late or
// refuse, and machines that die; whatever happens, nothing is left, every Wait is answered, and
// containerd hears of things in their order.
//
// KATA_LIFE_SEED=<number> repeats one run, KATA_LIFE_SEEDS=<count> makes more of them.
#include <dirent.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "host/shim/testing/task_bed.h"

namespace kata::shim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kOperations = 2000;
// Half a minute, with a sanitizer as well.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kSeeds = 20;
#else
constexpr int kSeeds = 100;
#endif
constexpr size_t kInFlight = 12;
constexpr auto kPatience = seconds(60);

size_t CountEntries(const char* directory) {
  size_t count = 0;
  DIR* dir = ::opendir(directory);
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}

// Chances in a thousand.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  bool Roll(int chances) { return Below(1000) < chances; }
  int Below(int bound) { return std::uniform_int_distribution(0, bound - 1)(random_); }
  template <size_t N>
  const char* OneOf(const std::array<const char*, N>& words) {
    return words[static_cast<size_t>(Below(N))];
  }

 private:
  std::mt19937_64 random_;
};

// What each name's events were so far; an error is the first that came out of order.
class Order {
 public:
  std::string Check(const std::vector<std::string>& events) {
    for (const std::string& event : events) {
      if (!Take(event))
        return fmt::format("out of order: {}; all: {}", event, fmt::join(events, ", "));
    }
    for (const auto& [name, state] : states_) {
      if (state == "create" || state == "add" || state == "start") {
        return fmt::format("no exit of {}; all: {}", name, fmt::join(events, ", "));
      }
    }
    return "";
  }

 private:
  bool Take(const std::string& event) {
    const std::string verb = event.substr(0, event.find(' '));
    const std::string name = event.substr(event.find(' ') + 1);
    std::string& state = states_[name];
    const std::string before = std::exchange(state, verb);
    if (verb == "create" || verb == "add") {
      return before.empty() || before == "delete" || before == kUndone ||
             (verb == "add" && before == "exit");
    }
    if (verb == "start") return before == "create" || before == "add";
    if (verb == "exit") {
      return before == "create" || before == "add" || before == "start";
    }
    if (verb != "delete") return false;
    if (name.find('/') != std::string::npos) {
      if (before == "add") state = kUndone;
      return before == "exit" || before == "add";
    }
    return before == "exit" && AllExecsEnded(name);
  }
  bool AllExecsEnded(const std::string& container) const {
    return std::ranges::all_of(states_, [&](const auto& entry) {
      return !entry.first.starts_with(container + "/") || entry.second == "exit" ||
             entry.second == "delete" || entry.second == kUndone;
    });
  }

  // Of an exec that was deleted before it ran: nobody is told of an end.
  static constexpr const char* kUndone = "undone";

  std::map<std::string, std::string> states_;
};

class Life {
 public:
  explicit Life(uint64_t seed) : seed_(seed), dice_(seed) { Begin(); }

  // Until the service ends or `left` operations have been made; how many.
  int Run(int left) {
    int made = 0;
    for (; made < left && !bed_->ended(); ++made) {
      Operate();
      Collect(kInFlight);
    }
    return made;
  }

  // Ends what is there.
  void End() {
    Collect(0);
    bed_->host().SetAgentScript({});
    ASSERT_TRUE(bed_->Shutdown(true).get());
    for (auto& wait : waits_) {
      ASSERT_EQ(wait.wait_for(kPatience), std::future_status::ready) << "a Wait hangs";
    }
    waits_.clear();
    ASSERT_EQ(bed_->host().vms(), 0u);
    const auto events = bed_->FlushedEvents();
    bed_.reset();
    ASSERT_EQ(Order().Check(events), "");
  }

 private:
  void Begin() {
    bed_ = std::make_unique<TaskBed>();
    auto dice = std::make_shared<Dice>(seed_ + 1);
    bed_->host().SetAgentScript([dice, host = &bed_->host()](const sandbox::AgentCall& call,
                                                             std::function<void(Result<void>)> go) {
      if (call.method == "Check" || call.method.starts_with("Read")) return go({});
      if (dice->Roll(30)) return go(Fail(Code::kInternal, "the guest refuses"));
      if (!dice->Roll(200)) return go({});
      host->loop().RunAfter(microseconds(dice->Below(3000)), [go] { go({}); });
    });
  }

  template <class Response>
  void Keep(std::future<Result<Response>> answer) {
    auto shared = std::make_shared<std::future<Result<Response>>>(std::move(answer));
    answers_.push_back([shared] {
      EXPECT_EQ(shared->wait_for(kPatience), std::future_status::ready) << "a call hangs";
    });
  }

  void Collect(size_t most) {
    while (answers_.size() > most) {
      answers_.front()();
      answers_.pop_front();
    }
  }

  void Create(const std::string& id) {
    if (!dice_.Roll(150)) return Keep(bed_->Create(id));
    // A caller that gives up does as containerd does.
    (void)bed_->Create(id, Deadline::After(microseconds(dice_.Below(4000)))).get();
    Keep(bed_->Delete(id));
    if (dice_.Roll(500)) Keep(bed_->Shutdown());
  }

  void Operate() {
    static constexpr std::array<const char*, 4> kIds = {"pod", "a", "b", "c"};
    static constexpr std::array<const char*, 2> kExecs = {"x", "y"};
    const std::string id = dice_.OneOf(kIds);
    const std::string exec = dice_.OneOf(kExecs);
    switch (dice_.Below(16)) {
      case 0:
      case 1:
      case 2:
        return Create(id);
      case 3:
      case 4:
        return Keep(bed_->Start(id));
      case 5:
      case 6:
        return Keep(bed_->Exec(id, exec));
      case 7:
      case 8:
        return Keep(bed_->Start(id, exec));
      case 9:
        return Keep(bed_->Kill(id));
      case 10:
        return Keep(bed_->Kill(id, exec));
      case 11:
        return Keep(bed_->Delete(id));
      case 12:
        return Keep(bed_->Delete(id, exec));
      case 13:
        return waits_.push_back(bed_->Wait(id, dice_.Roll(500) ? exec : ""));
      case 14:
        return EndByItself(id, dice_.Roll(500) ? exec : "");
      default:
        return Disturb();
    }
  }

  void EndByItself(const std::string& id, const std::string& exec) {
    if (const auto agent = bed_->host().agent()) agent->End(id, exec, dice_.Below(256));
  }

  void Disturb() {
    if (dice_.Roll(150)) return bed_->host().KillVms();
    if (dice_.Roll(100)) return Reconnect();
    if (dice_.Roll(100)) return Keep(bed_->Shutdown());
    if (dice_.Roll(20)) return Keep(bed_->Shutdown(true));
    Keep(bed_->State(dice_.Roll(500) ? "pod" : "a"));
  }

  void Reconnect() {
    bed_->Disconnect();
    bed_->Connect();
  }

  const uint64_t seed_;
  Dice dice_;
  std::unique_ptr<TaskBed> bed_;
  std::deque<std::function<void()>> answers_;
  std::vector<std::future<Result<task::WaitResponse>>> waits_;
};

uint64_t FirstSeed() {
  const char* given = ::getenv("KATA_LIFE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
}

int Seeds() {
  if (::getenv("KATA_LIFE_SEED") != nullptr) return 1;
  const char* given = ::getenv("KATA_LIFE_SEEDS");
  return given != nullptr ? std::atoi(given) : kSeeds;
}

TEST(TaskLife, NothingIsLeftOfAPodHoweverItsCallsOverlap) {
  log::SetOutput(-1, 0);
  // What is made once a process.
  TaskBed().StartPod();
  uint64_t seed = FirstSeed();
  for (int round = 0; round < Seeds() && !testing::Test::HasFailure(); ++round, ++seed) {
    std::printf("KATA_LIFE_SEED=%llu\n", static_cast<unsigned long long>(seed));
    SCOPED_TRACE(fmt::format("KATA_LIFE_SEED={}", seed));
    const size_t descriptors = CountEntries("/proc/self/fd");
    const size_t threads = CountEntries("/proc/self/task");
    uint64_t part = seed;
    for (int left = kOperations; left > 0 && !testing::Test::HasFailure(); ++part) {
      Life life(part);
      left -= std::max(life.Run(left), 1);
      life.End();
    }
    EXPECT_EQ(CountEntries("/proc/self/fd"), descriptors);
    EXPECT_TRUE(WaitUntil([&] { return CountEntries("/proc/self/task") <= threads; }));
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
  }
}

}  // namespace
}  // namespace kata::shim
