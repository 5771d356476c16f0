// SPDX-License-Identifier: Apache-2.0
#include "host/config/choose_vmm.h"

#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::config {
namespace {

constexpr hypervisor::VmmTraits kKnown[] = {{.name = "one", .table = "hypervisor.one"},
                                            {.name = "two", .table = "hypervisor.two"}};

// What files with these texts choose: "<name> <by what>", or the error.
std::string Choice(const std::vector<std::string>& texts) {
  std::vector<std::vector<Setting>> files;
  for (const std::string& text : texts) {
    const auto settings = ReadToml(text, std::string(1, static_cast<char>('a' + files.size())));
    if (!settings) return settings.error().message();
    files.push_back(*settings);
  }
  const auto choice = ChooseVmm(files, kKnown);
  if (!choice) return choice.error().message();
  return std::string(choice->vmm->name) + " " + choice->source.ToString();
}

TEST(ChooseVmm, TakesTheFirstWhereNothingIsSaid) {
  EXPECT_EQ(Choice({}), "one built in");
  EXPECT_EQ(Choice({"[agent.kata]\nenable_debug = true\n"}), "one built in");
  EXPECT_EQ(Choice({"[hypervisor.two]\n"}), "one built in");
}

TEST(ChooseVmm, TakesTheOneWhoseTableIsThere) {
  EXPECT_EQ(Choice({"[hypervisor.two]\npath = \"/x\"\n"}), "two a:2");
  EXPECT_EQ(Choice({"[runtime]\nhypervisor_name = \"\"\n", "[hypervisor.two]\nx = 1\n"}),
            "two b:2");
  EXPECT_EQ(Choice({"[hypervisor.other]\nx = 1\n[hypervisor.two]\nx = 1\n"}), "two a:4");
}

TEST(ChooseVmm, TakesTheOneThatIsNamedLast) {
  EXPECT_EQ(Choice({"[hypervisor.one]\nx = 1\n[runtime]\nhypervisor_name = \"one\"\n",
                    "[hypervisor.two]\nx = 1\n[runtime]\nhypervisor_name = \"two\"\n"}),
            "two b:4");
  EXPECT_EQ(Choice({"[hypervisor.one]\nx = 1\n[runtime]\nhypervisor_name = \"two\"\n"}), "two a:4");
}

TEST(ChooseVmm, RefusesWhatItDoesNotKnowAndNamesWhatItKnows) {
  EXPECT_EQ(Choice({"[runtime]\nhypervisor_name = \"zen\"\n"}),
            "a:2: [runtime] hypervisor_name = \"zen\": expected one of one, two");
  EXPECT_EQ(Choice({"[hypervisor.zen]\nx = 1\n"}),
            "a:2: [hypervisor.zen]: no such VMM here; name the table after one of one, two");
  EXPECT_EQ(Choice({"[hypervisor.onetwo]\nx = 1\n"}),
            "a:2: [hypervisor.onetwo]: no such VMM here; name the table after one of one, two");
}

TEST(ChooseVmm, RefusesTablesOfSeveral) {
  EXPECT_EQ(Choice({"[hypervisor.one]\nx = 1\n", "[hypervisor.two.factory]\nx = 1\n"}),
            "b:2: [hypervisor.two]: there is [hypervisor.one] too (a:2); say which counts by "
            "hypervisor_name in [runtime], one of one, two");
}

TEST(ChooseVmm, ANameOfAWrongTypeChoosesNothing) {
  EXPECT_EQ(Choice({"[runtime]\nhypervisor_name = 1\n"}), "one built in");
}

}  // namespace
}  // namespace kata::config
