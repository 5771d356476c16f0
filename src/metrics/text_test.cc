// SPDX-License-Identifier: Apache-2.0
#include "metrics/text.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::metrics {
namespace {

TEST(MetricsText, EscapesHelpAndLabels) {
  Metrics metrics;
  Family& family = *metrics.add_families();
  family.set_name("m");
  family.set_help("two\nlines \\ \"quoted\"");
  family.set_type(COUNTER);
  Sample& sample = *family.add_samples();
  sample.set_value(1.5);
  Label& label = *sample.add_labels();
  label.set_name("l");
  label.set_value("a\"b\\c\nd");
  EXPECT_EQ(FormatText(metrics),
            "# HELP m two\\nlines \\\\ \"quoted\"\n"
            "# TYPE m counter\n"
            "m{l=\"a\\\"b\\\\c\\nd\"} 1.5\n");
}

TEST(MetricsText, WritesNumbersSoThatTheyReadBackTheSame) {
  EXPECT_EQ(FormatValue(0), "0");
  EXPECT_EQ(FormatValue(1024000), "1024000");
  EXPECT_EQ(FormatValue(4503599627370497), "4503599627370497");
  EXPECT_EQ(FormatValue(0.1), "0.1");
  EXPECT_EQ(FormatValue(-2), "-2");
  EXPECT_EQ(FormatValue(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(FormatValue(std::numeric_limits<double>::quiet_NaN()), "NaN");
}

}  // namespace
}  // namespace kata::metrics
