// SPDX-License-Identifier: Apache-2.0
#include "metrics/catalogue.h"

#include <algorithm>
#include <regex>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "metrics/builder.h"
#include "sys/files.h"

namespace kata::metrics {
namespace {

using testing::HasSubstr;

std::string ReadOfTree(const std::string& path) {
  const auto text = sys::ReadFile(std::string(KATA_SOURCE_DIR "/") + path);
  EXPECT_TRUE(text) << path;
  return text.value_or("");
}

std::string_view TypeWord(FamilyType type) {
  return type == GAUGE ? "gauge" : type == COUNTER ? "counter" : "histogram";
}

// The names of metrics in a text, without what a histogram adds to its own.
std::set<std::string> NamesIn(const std::string& text) {
  static const std::regex kName("kata_[a-z]+_[a-z0-9_]+");
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), kName), end; it != end; ++it) {
    std::string name = it->str();
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      const std::string base =
          name.substr(0, name.size() - std::min(name.size(), std::string_view(suffix).size()));
      const Description* known = FindDescription(base);
      if (name.ends_with(suffix) && known != nullptr && known->type == HISTOGRAM) name = base;
    }
    names.insert(name);
  }
  return names;
}

TEST(MetricsCatalogue, IsSortedAndHasNamesThatPrometheusTakes) {
  EXPECT_TRUE(std::ranges::is_sorted(Catalogue(), {}, &Description::name));
  for (const Description& each : Catalogue()) {
    EXPECT_TRUE(IsMetricName(each.name)) << each.name;
    EXPECT_EQ(FindDescription(each.name), &each);
    EXPECT_FALSE(each.help.empty());
  }
  EXPECT_EQ(FindDescription("kata_"), nullptr);
}

TEST(MetricsCatalogue, IsWhatThePageHas) {
  const std::string page = ReadOfTree("docs/metrics.md");
  for (const Description& each : Catalogue()) {
    const std::string row = fmt::format("| `{}` | {} | {} | {} |\n", each.name, TypeWord(each.type),
                                        each.labels, each.help);
    EXPECT_THAT(page, HasSubstr(row));
  }
  for (const std::string& name : NamesIn(page)) {
    EXPECT_NE(FindDescription(name), nullptr) << "docs/metrics.md tells of " << name;
  }
}

TEST(MetricsCatalogue, HasAllThatTheDashboardAsksFor) {
  const std::string text = ReadOfTree("deploy/grafana/kata-cpp.json");
  const auto dashboard = nlohmann::json::parse(text, nullptr, false);
  ASSERT_TRUE(dashboard.is_object());
  size_t expressions = 0;
  for (const auto& panel : dashboard.at("panels")) {
    if (!panel.contains("targets")) continue;
    for (const auto& target : panel.at("targets")) {
      const auto names = NamesIn(target.at("expr").get<std::string>());
      EXPECT_FALSE(names.empty()) << target;
      for (const std::string& name : names) {
        EXPECT_NE(FindDescription(name), nullptr) << panel.at("title") << " asks for " << name;
      }
      ++expressions;
    }
  }
  EXPECT_GE(expressions, 10U);
}

}  // namespace
}  // namespace kata::metrics
