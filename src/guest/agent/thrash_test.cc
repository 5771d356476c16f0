// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/thrash.h"

#include <string>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

using std::chrono::milliseconds;
using Verdict = ThrashJudge::Verdict;

constexpr uint64_t kMib = 1 << 20;
constexpr milliseconds kStep{250};
constexpr int kSteps = ThrashJudge::kStuckTime / kStep;

// What happens in a quarter of a second, again and again.
struct Case {
  const char* what;
  uint64_t limit;
  uint64_t cache;
  uint64_t hits;
  uint64_t refaults;  // pages
  uint64_t faults;
  uint64_t user;     // milliseconds
  uint64_t system;   // likewise
  uint64_t waiting;  // likewise
  bool stuck;
};

// The figures of the first four were seen in guests of 64 MiB, with a very busy host the last two.
constexpr Case kCases[] = {
    {"a program that grows in small steps", 64 * kMib, 132 << 10, 300, 3500, 110, 2, 150, 110,
     true},
    {"one that comes on a little", 64 * kMib, 330 << 10, 80, 2500, 80, 7, 120, 80, true},
    {"on a host that is busy", 64 * kMib, 212 << 10, 30, 120, 5, 2, 60, 100, true},
    {"a little less", 64 * kMib, 150 << 10, 30, 120, 4, 2, 60, 100, true},
    {"one whose text comes back and that goes on", 64 * kMib, 330 << 10, 80, 2500, 80, 60, 120, 60,
     false},
    {"one that waits for others and wakes seldom", 64 * kMib, 330 << 10, 8, 300, 10, 1, 10, 20,
     false},
    {"a limit that is far away", 64 * kMib, 128 << 10, 0, 3500, 110, 2, 150, 110, false},
    {"a large file that is read on and on", 64 * kMib, 50 * kMib, 300, 3500, 0, 2, 150, 110, false},
    {"text and files in turn, by faults", 64 * kMib, 4 * kMib, 300, 15000, 470, 2, 150, 110, false},
    {"a file read by read(2) with next to no cache", 64 * kMib, 256 << 10, 300, 3500, 2, 2, 150,
     110, false},
    {"files that are new", 64 * kMib, 128 << 10, 300, 10, 110, 2, 150, 110, false},
    {"a mapped file with less than a MiB to cache it", 64 * kMib, 700 << 10, 300, 9000, 280, 2, 150,
     110, false},
    {"a small limit's cache is smaller", 4 * kMib, 512 << 10, 300, 3500, 110, 2, 150, 110, false},
    {"a small limit", 4 * kMib, 128 << 10, 300, 3500, 110, 2, 150, 110, true},
    {"a large limit", 8192 * kMib, 128 << 10, 300, 3500, 110, 2, 150, 110, true},
};
constexpr const Case& kStuck = kCases[0];
constexpr const Case& kNotHit = kCases[6];
constexpr const Case& kReading = kCases[7];

class Story {
 public:
  explicit Story(const Case& each) : case_(each) { Next(); }

  Verdict Next() {
    const Verdict verdict = judge_.Observe(now_);
    now_.at += kStep;
    now_.limit = case_.limit;
    now_.cache = case_.cache;
    now_.limit_hits += case_.hits;
    now_.refaults += case_.refaults;
    now_.major_faults += case_.faults;
    now_.user_time += case_.user * 1000;
    now_.system_time += case_.system * 1000;
    now_.waiting_time += case_.waiting * 1000;
    return verdict;
  }
  void Becomes(const Case& each) { case_ = each; }

 private:
  Case case_;
  ThrashJudge judge_;
  MemorySample now_{.at = {}, .limit = {}};
};

TEST(ThrashJudge, KnowsAContainerThatStandsStill) {
  for (const Case& each : kCases) {
    Story story(each);
    bool stuck = false;
    for (int i = 0; i < 20 && !stuck; ++i) stuck = story.Next() == Verdict::kStuck;
    EXPECT_EQ(stuck, each.stuck) << each.what;
  }
}

TEST(ThrashJudge, TakesItsTimeInARow) {
  Story story(kStuck);
  story.Next();
  for (int i = 1; i < kSteps; ++i) EXPECT_EQ(story.Next(), Verdict::kBusy) << i;
  EXPECT_EQ(story.Next(), Verdict::kStuck);
}

TEST(ThrashJudge, ForgetsAContainerThatGoesOn) {
  Story story(kStuck);
  for (int i = 1; i < kSteps; ++i) EXPECT_EQ(story.Next(), Verdict::kBusy);
  story.Becomes(kReading);
  story.Next();
  EXPECT_EQ(story.Next(), Verdict::kBusy);
  story.Becomes(kStuck);
  story.Next();
  for (int i = 0; i < kSteps; ++i) EXPECT_EQ(story.Next(), Verdict::kBusy) << i;
  EXPECT_EQ(story.Next(), Verdict::kStuck);
}

TEST(ThrashJudge, LooksBackSoFarAndNoFurther) {
  Story story(kCases[5]);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(story.Next(), Verdict::kBusy);
  story.Becomes(kStuck);
  int looks = 0;
  while (looks < 20 && story.Next() != Verdict::kStuck) ++looks;
  EXPECT_LT(looks, 12);
}

TEST(ThrashJudge, SaysWhenTheLimitIsLeftAlone) {
  Story story(kReading);
  EXPECT_EQ(story.Next(), Verdict::kBusy);
  story.Becomes(kNotHit);
  Verdict verdict = Verdict::kBusy;
  for (int i = 0; i < 5 && verdict == Verdict::kBusy; ++i) verdict = story.Next();
  EXPECT_EQ(verdict, Verdict::kCalm);
}

TEST(ThrashJudge, WithoutALimitNobodyIsStuck) {
  ThrashJudge judge;
  MemorySample sample{.at = {}, .limit = {}, .cache = 1000};
  for (int i = 0; i < 30; ++i) {
    sample.at += kStep;
    sample.limit_hits += 300;
    sample.refaults += 3500;
    sample.major_faults += 110;
    sample.system_time += 150'000;
    sample.waiting_time += 100'000;
    EXPECT_NE(judge.Observe(sample), Verdict::kStuck);
  }
}

TEST(LimitThatKills, LiesBelowWhatIsFixedByLessThanTheBiggest) {
  MemorySample sample{.at = {}, .limit = 64 * kMib};
  sample.fixed = 63 * kMib + 5;
  EXPECT_EQ(LimitThatKills(sample, 60 * kMib), 33 * kMib);
  EXPECT_EQ(LimitThatKills(sample, 0), 63 * kMib - (64 << 10)) << "shared memory that is nobody's";
  sample.fixed = 100;
  EXPECT_EQ(LimitThatKills(sample, 60 * kMib), 0u);
}

TEST(SampleMemory, ReadsTheGroupsFiles) {
  const sys::TemporaryDir dir("thrash");
  const auto put = [&](const char* name, std::string_view text) {
    ASSERT_TRUE(sys::WriteFile(std::string(dir.path()) + "/" + name, text));
  };
  EXPECT_EQ(SampleMemory(dir.path()).error().code(), Code::kNotFound);
  put("memory.stat",
      "anon 6000\nfile 900\nkernel 500\nshmem 70\nactive_file 300\ninactive_file 400\n"
      "slab_reclaimable 200\nworkingset_refault_anon 1\nworkingset_refault_file 77\n"
      "pgmajfault 5\n");
  put("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\n");
  put("memory.max", "67108864\n");
  put("memory.pressure",
      "some avg10=1.00 avg60=0.00 avg300=0.00 total=123\n"
      "full avg10=0.00 avg60=0.00 avg300=0.00 total=100\n");
  put("cpu.stat", "usage_usec 30\nuser_usec 10\nsystem_usec 20\nthrottled_usec 1000\n");
  const MemorySample sample = SampleMemory(dir.path()).value();
  EXPECT_EQ(sample.limit, 64 * kMib);
  EXPECT_EQ(sample.cache, 700u);
  EXPECT_EQ(sample.fixed, 6370u);
  EXPECT_EQ(sample.limit_hits, 12u);
  EXPECT_EQ(sample.refaults, 77u);
  EXPECT_EQ(sample.major_faults, 5u);
  EXPECT_EQ(sample.oom_kills, 3u);
  EXPECT_EQ(sample.user_time, 10u);
  EXPECT_EQ(sample.system_time, 20u);
  EXPECT_EQ(sample.waiting_time, 1123u);
  put("memory.max", "max\n");
  EXPECT_FALSE(SampleMemory(dir.path())->limit);
  EXPECT_EQ(CountLimitHits(dir.path()), 12u);
}

}  // namespace
}  // namespace kata::guest
