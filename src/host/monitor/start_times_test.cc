// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/start_times.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/record/timing.h"
#include "metrics/text.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::monitor {
namespace {

using ::testing::HasSubstr;

TEST(StartTimes, CountEachStartOnce) {
  const sys::TemporaryDir root("starts");
  ASSERT_TRUE(sys::MakeDirs(root.path() + "/pod"));
  const sandbox::SandboxRecord record{.id = "pod", .owner = "/s", .containers = {"c1", "c2"}};
  const sandbox::StartTiming timing{.from = "warm",
                                    .booted = {{"renew", 1.5}},
                                    .created = {{"plan", 0.25}, {"boot", 20}},
                                    .started = {{"start_container", 7}}};
  ASSERT_TRUE(sandbox::SaveTiming("pod", "c1", timing, root.path()));
  StartTimes times;
  const auto text = [&] {
    metrics::Builder builder;
    times.AddTo(builder);
    return metrics::FormatText(builder.Take());
  };
  for (int i = 0; i < 3; ++i) times.Look({record}, root.path());
  const std::string name = "kata_monitor_start_phase_milliseconds_";
  EXPECT_THAT(text(),
              HasSubstr(name + "count{part=\"machine\",phase=\"renew\",from=\"warm\"} 1\n"));
  EXPECT_THAT(text(),
              HasSubstr(name + "sum{part=\"total\",phase=\"total\",from=\"warm\"} 27.25\n"));
  // The other one is started; then both go, and the first comes again.
  ASSERT_TRUE(sandbox::SaveTiming("pod", "c2", timing, root.path()));
  times.Look({record}, root.path());
  EXPECT_THAT(text(), HasSubstr(name + "count{part=\"total\",phase=\"total\",from=\"warm\"} 2\n"));
  times.Look({}, root.path());
  times.Look({record}, root.path());
  EXPECT_THAT(text(), HasSubstr(name + "count{part=\"total\",phase=\"total\",from=\"warm\"} 4\n"));
}

}  // namespace
}  // namespace kata::monitor
