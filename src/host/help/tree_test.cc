// SPDX-License-Identifier: Apache-2.0
#include "host/help/tree.h"

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace kata::help {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Example {
  CLI::App app{"Does things.", "things"};
  std::string level = "warn";
  std::string file;
  bool flag = false;
  std::vector<std::string> names;

  Example() {
    app.add_option("--log-level,-l", level, "how much")
        ->type_name("LEVEL")
        ->capture_default_str()
        ->check(CLI::IsMember({"debug", "warn"}));
    CLI::App* command = app.add_subcommand("make", "Makes some")->alias("kata-make");
    command->add_option("--rootless", file, "accepted")->type_name("auto|true|false");
    command->add_flag("--json", flag, "print JSON");
    command->add_option("FILE", file, "what")->required();
    command->add_option("NAME", names, "which");
    command->footer("Examples:\n  things make\n");
    app.add_subcommand("inner", "not for people")->group("");
  }
};

TEST(HelpTree, HasOptionsWithTheirNamesChoicesAndDefaults) {
  const Example example;
  const Tree tree = ReadApp(example.app);
  EXPECT_EQ(tree.name, "things");
  ASSERT_EQ(tree.options.size(), 2u);  // --help is one, too
  const Option& level = tree.options[1];
  EXPECT_THAT(level.names, ElementsAre("--log-level", "-l"));
  EXPECT_EQ(level.value, "LEVEL");
  EXPECT_THAT(level.choices, ElementsAre("debug", "warn"));
  EXPECT_EQ(level.help, "how much");
  EXPECT_EQ(level.otherwise, "warn");
}

TEST(HelpTree, HasCommandsWithTheirWordsAndLeavesHiddenOnesOut) {
  const Example example;
  const Tree tree = ReadApp(example.app);
  ASSERT_EQ(tree.commands.size(), 1u);
  const Tree& make = tree.commands[0];
  EXPECT_THAT(make.aliases, ElementsAre("kata-make"));
  EXPECT_EQ(make.words, "FILE [NAME...]");
  EXPECT_EQ(make.footer, "Examples:\n  things make\n");
  EXPECT_THAT(make.options[1].choices, ElementsAre("auto", "true", "false"));
  EXPECT_EQ(make.options[2].names.front(), "--json");
  EXPECT_EQ(make.options[2].value, "");
}

TEST(HelpTree, LeavesWhatAValueIsCheckedForOut) {
  CLI::App app;
  int count = 0;
  app.add_option("--count", count)->type_name("N")->check(CLI::Range(1, 9));
  const Tree tree = ReadApp(app);
  EXPECT_EQ(tree.options[1].value, "N");
  EXPECT_THAT(tree.options[1].choices, IsEmpty());
}

TEST(HelpTree, AValueWithoutBarsHasNoChoices) { EXPECT_THAT(SplitChoices("FILE"), IsEmpty()); }

TEST(HelpTree, IsPrintedAsJson) {
  const Example example;
  const auto json = nlohmann::json::parse(RenderJson(ReadApp(example.app)));
  EXPECT_EQ(json["commands"][0]["name"], "make");
  EXPECT_EQ(json["options"][1]["choices"], nlohmann::json({"debug", "warn"}));
}

}  // namespace
}  // namespace kata::help
