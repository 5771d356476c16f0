// SPDX-License-Identifier: Apache-2.0
#include "metrics/parse.h"

#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "metrics/text.h"

namespace kata::metrics {
namespace {

constexpr std::array<std::string_view, 2> kPrefixes = {"kata_guest_", "kata_agent_"};

std::string Read(std::string_view text, size_t refused = 0) {
  const Parsed parsed = ParseGuestText(text, kPrefixes);
  EXPECT_EQ(parsed.refused, refused) << text;
  return FormatText(parsed.metrics);
}

TEST(ParseGuestText, ReadsWhatAnAgentWrites) {
  EXPECT_EQ(Read("# HELP kata_guest_load whatever\n"
                 "# TYPE kata_guest_load counter\n"
                 "kata_guest_load{item=\"load1\"} 0.5\n"
                 "kata_guest_load{ item=\"load5\" , } 1e3 1700000000\n",
                 1),
            "# HELP kata_guest_load Load averages of the guest.\n"
            "# TYPE kata_guest_load gauge\n"
            "kata_guest_load{item=\"load1\"} 0.5\n")
      << "help and type are ours, and spaces inside of braces are nobody's";
  EXPECT_EQ(Read("kata_guest_load{item=\"load5\",} 1e3 1700000000\r\n"),
            "# HELP kata_guest_load Load averages of the guest.\n"
            "# TYPE kata_guest_load gauge\n"
            "kata_guest_load{item=\"load5\"} 1000\n");
  EXPECT_EQ(Read("# TYPE kata_guest_other counter\nkata_guest_other 7"),
            "# TYPE kata_guest_other counter\nkata_guest_other 7\n");
}

TEST(ParseGuestText, LeavesOutWhatIsNotTheGuests) {
  for (const char* line : {
           "kata_shim_fds 1",                           // the host's
           "up 1",                                      //
           "kata_guest_load{sandbox_id=\"other\"} 1",   // whose it is says the host
           "kata_guest_load{__name__=\"up\"} 1",        //
           "kata_guest_load{item=\"a\",item=\"b\"} 1",  // twice
           "kata_guest_load{item=\"a} 1",               // no end
           "kata_guest_load{item=\"a\\",                //
           "kata_guest_load{item=\"\x1b[2J\"} 1",       // a terminal would obey
           "kata_guest_load{item=\"\xff\"} 1",          // no UTF-8
           "kata_guest_load{item=\"a\\nup 1\"} 1",      // a line of its own
           "kata_guest_load{a=\"\",b=\"\",c=\"\",d=\"\",e=\"\"} 1",
           "kata_guest_load{item} 1",
           "kata_guest_load{",
           "kata_guest_load",
           "kata_guest_load NaN",
           "kata_guest_load +Inf",
           "kata_guest_load 1e999",
           "kata_guest_load 1x",
           "kata_guest_-load 1",
           "{} 1",
           "=",
       }) {
    EXPECT_EQ(Read(line, 1), "") << line;
  }
}

TEST(ParseGuestText, LeavesOutDoublesForWhichPrometheusWouldThrowAllAway) {
  const Parsed parsed = ParseGuestText(
      "kata_guest_load{a=\"1\",b=\"2\"} 1\nkata_guest_load{b=\"2\",a=\"1\"} 2\n", kPrefixes);
  EXPECT_EQ(parsed.refused, 1U);
  EXPECT_EQ(parsed.metrics.families(0).samples_size(), 1);
}

TEST(ParseGuestText, EscapesWhatItTakes) {
  EXPECT_EQ(Read("kata_guest_netdev_stat{interface=\"a\\\"b\\\\c\"} 1\n"),
            "# HELP kata_guest_netdev_stat Traffic of the guest's network interfaces.\n"
            "# TYPE kata_guest_netdev_stat gauge\n"
            "kata_guest_netdev_stat{interface=\"a\\\"b\\\\c\"} 1\n");
}

TEST(ParseGuestText, IsBoundedInEveryWay) {
  std::string many;
  for (size_t i = 0; i < 2 * kMostGuestSamples; ++i) {
    many += fmt::format("kata_guest_load{{item=\"{}\"}} 1\n", i);
  }
  const Parsed samples = ParseGuestText(many, kPrefixes);
  EXPECT_EQ(samples.metrics.families(0).samples_size(), kMostGuestSamples);
  EXPECT_EQ(samples.refused, kMostGuestSamples);

  many.clear();
  for (size_t i = 0; i < 2 * kMostGuestFamilies; ++i) many += fmt::format("kata_guest_{} 1\n", i);
  EXPECT_EQ(ParseGuestText(many, kPrefixes).metrics.families_size(), kMostGuestFamilies);

  const std::string value(kMostGuestLabelValue + 1, 'a');
  EXPECT_EQ(ParseGuestText(fmt::format("kata_guest_load{{i=\"{}\"}} 1", value), kPrefixes).refused,
            1U);

  // One line without an end, and one behind what is read.
  const std::string endless = "kata_guest_load 1\n" + std::string(2 * kMostGuestText, 'x') + "\n";
  const Parsed parsed = ParseGuestText(endless + "kata_guest_tasks 1\n", kPrefixes);
  EXPECT_EQ(parsed.metrics.families_size(), 1);
}

}  // namespace
}  // namespace kata::metrics
