// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/plugged.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kBlock = 128 << 20;

class PluggedTest : public testing::Test {
 protected:
  PluggedTest() {
    Put("cpu/online", "0\n");
    Put("memory/block_size_bytes", "8000000\n");
    for (int block = 0; block < 2; ++block) Block(block, "online");
  }

  void Put(const std::string& path, std::string_view content) {
    const std::string file = root_ + "/devices/system/" + path;
    EXPECT_TRUE(sys::MakeDirs(file.substr(0, file.rfind('/'))));
    EXPECT_TRUE(sys::WriteFile(file, content));
  }
  void Block(int number, const std::string& state) {
    Put(fmt::format("memory/memory{}/state", number), state + "\n");
  }
  // Waits for `wanted` and does `steps` meanwhile, one every 30 ms or so.
  Plugged Await(Plugged wanted, milliseconds patience,
                const std::vector<std::function<void()>>& steps) {
    PluggedWatch watch(test_.loop(), root_);
    std::optional<Plugged> found;
    std::vector<TestLoop::Step> all;
    all.push_back({[] { return true; },
                   [&] { watch.Await(wanted, patience, [&](Plugged now) { found = now; }); }});
    int ticks = 0;
    for (const auto& step : steps) all.push_back({[&] { return ++ticks % 30 == 0; }, step});
    all.push_back({[&] { return found.has_value(); }, [] {}});
    EXPECT_EQ(test_.Run(all), all.size());
    return found.value_or(Plugged{});
  }

  TestLoop test_;
  const sys::TemporaryDir temporary_{"plugged"};
  const std::string root_ = temporary_.path();
};

TEST_F(PluggedTest, AnswersAtOnceWhereNothingIsMissing) {
  EXPECT_EQ(Await({.cpus = 1}, seconds(20), {}), (Plugged{.cpus = 1}));
}

TEST_F(PluggedTest, WaitsUntilEveryBlockIsOn) {
  EXPECT_EQ(Await({.cpus = 1, .bytes = 3 * kBlock}, seconds(20),
                  {[&] {
                     for (int block = 32; block < 35; ++block) Block(block, "offline");
                   },
                   [&] { Block(32, "online"); }, [&] { Block(34, "online"); },
                   [&] { Block(33, "online"); }}),
            (Plugged{.cpus = 1, .bytes = 3 * kBlock}));
}

TEST_F(PluggedTest, WaitsForProcessors) {
  EXPECT_EQ(Await({.cpus = 3}, seconds(20), {[&] { Put("cpu/online", "0-2\n"); }}),
            (Plugged{.cpus = 3}));
}

TEST_F(PluggedTest, TellsWhatThereIsWhenNothingComesAnyMore) {
  EXPECT_EQ(Await({.cpus = 1, .bytes = 3 * kBlock}, milliseconds(300),
                  {[&] { Block(32, "online"); }, [&] { Block(33, "offline"); }}),
            (Plugged{.cpus = 1, .bytes = kBlock}));
}

TEST_F(PluggedTest, AKernelThatCannotPlugGivesNothing) {
  const sys::TemporaryDir empty("unplugged");
  PluggedWatch watch(test_.loop(), empty.path());
  std::optional<Plugged> found;
  EXPECT_EQ(test_.Run({{[] { return true; },
                        [&] {
                          watch.Await({.cpus = 1, .bytes = kBlock}, milliseconds(50),
                                      [&](Plugged now) { found = now; });
                        }},
                       {[&] { return found.has_value(); }, [] {}}}),
            2u);
  EXPECT_EQ(found.value_or(Plugged{.cpus = 9}), Plugged());
}

}  // namespace
}  // namespace kata::guest
