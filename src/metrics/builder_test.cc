// SPDX-License-Identifier: Apache-2.0
#include "metrics/builder.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "metrics/text.h"

namespace kata::metrics {
namespace {

TEST(MetricsBuilder, GathersTheSamplesOfAFamilyWhereverTheyComeFrom) {
  Builder one;
  one.Add("kata_shim_fds", {}, 7);
  one.Add("kata_shim_threads", {}, 3);
  Builder all;
  all.Add("kata_monitor_running_shim_count", {}, 2);
  EXPECT_EQ(all.AddAll(one.Take(), {"sandbox_id", "a"}), 0U);
  Builder other;
  other.Add("kata_shim_fds", {}, 8);
  EXPECT_EQ(all.AddAll(other.Take(), {"sandbox_id", "b"}), 0U);
  EXPECT_EQ(FormatText(all.Take()),
            "# HELP kata_monitor_running_shim_count Sandboxes of this host.\n"
            "# TYPE kata_monitor_running_shim_count gauge\n"
            "kata_monitor_running_shim_count 2\n"
            "# HELP kata_shim_fds Descriptors that the shim has open.\n"
            "# TYPE kata_shim_fds gauge\n"
            "kata_shim_fds{sandbox_id=\"a\"} 7\n"
            "kata_shim_fds{sandbox_id=\"b\"} 8\n"
            "# HELP kata_shim_threads Threads of the shim.\n"
            "# TYPE kata_shim_threads gauge\n"
            "kata_shim_threads{sandbox_id=\"a\"} 3\n");
}

TEST(MetricsBuilder, TakesNoMoreThanItMay) {
  Builder one;
  for (int i = 0; i < 10; ++i) one.Add("kata_shim_fds", {{"n", std::to_string(i)}}, i);
  one.Add("kata_shim_threads", {}, 3);
  const Metrics metrics = one.Take();
  Builder all;
  EXPECT_EQ(all.AddAll(metrics, {}, 5), 10U) << "a family is taken as a whole or not at all";
  EXPECT_EQ(all.Take().families_size(), 1);
}

TEST(MetricsBuilder, RefusesNamesThatPrometheusWouldRefuse) {
  Metrics metrics;
  Family& family = *metrics.add_families();
  family.set_name("kata_x 1\nkata_y");
  family.add_samples()->set_value(1);
  Builder all;
  EXPECT_EQ(all.AddAll(metrics), 1U);
  EXPECT_EQ(all.Take().families_size(), 0);
}

TEST(MetricsBuilder, KnowsNames) {
  EXPECT_TRUE(IsMetricName("kata_shim_fds"));
  EXPECT_TRUE(IsMetricName("a:b"));
  EXPECT_FALSE(IsMetricName(""));
  EXPECT_FALSE(IsMetricName("1a"));
  EXPECT_FALSE(IsMetricName("a-b"));
  EXPECT_FALSE(IsMetricName(std::string(129, 'a')));
  EXPECT_TRUE(IsLabelName("item"));
  EXPECT_FALSE(IsLabelName("a:b"));
  EXPECT_FALSE(IsLabelName("__name__"));
}

}  // namespace
}  // namespace kata::metrics
