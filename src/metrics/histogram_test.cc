// SPDX-License-Identifier: Apache-2.0
#include "metrics/histogram.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "metrics/text.h"

namespace kata::metrics {
namespace {

using testing::HasSubstr;

std::string TextOf(const HistogramSet& set) {
  Builder builder;
  set.AddTo(builder);
  return FormatText(builder.Take());
}

TEST(HistogramSet, CountsUpToEachBound) {
  HistogramSet set("kata_shim_rpc_durations_histogram_milliseconds", {"action"});
  for (const double millis : {0.5, 1.0, 3.0, 500.0, 100000.0}) set.Observe({"create"}, millis);
  set.Observe({"start"}, std::chrono::milliseconds(7));
  const std::string text = TextOf(set);
  const std::string name = "kata_shim_rpc_durations_histogram_milliseconds";
  EXPECT_THAT(text, HasSubstr("# TYPE " + name + " histogram\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{action=\"create\",le=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{action=\"create\",le=\"4\"} 3\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{action=\"create\",le=\"512\"} 4\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{action=\"create\",le=\"+Inf\"} 5\n"));
  EXPECT_THAT(text, HasSubstr(name + "_sum{action=\"create\"} 100504.5\n"));
  EXPECT_THAT(text, HasSubstr(name + "_count{action=\"create\"} 5\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{action=\"start\",le=\"8\"} 1\n"));
}

TEST(HistogramSet, KeepsNoMoreKindsThanItMay) {
  HistogramSet set("kata_shim_rpc_durations_histogram_milliseconds", {"action"});
  for (size_t i = 0; i < 2 * HistogramSet::kMostKinds; ++i) set.Observe({std::to_string(i)}, 1.0);
  Builder builder;
  set.AddTo(builder);
  const size_t lines = HistogramSet::kBounds.size() + 3;
  EXPECT_EQ(builder.Take().families(0).samples_size(), HistogramSet::kMostKinds * lines);
}

}  // namespace
}  // namespace kata::metrics
