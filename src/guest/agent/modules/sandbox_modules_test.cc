// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/modules/sandbox_modules.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

agent::CreateSandboxRequest Request(const std::string& name,
                                    const std::vector<std::string>& parameters = {}) {
  agent::CreateSandboxRequest request;
  agent::KernelModule& module = *request.add_kernel_modules();
  module.set_name(name);
  for (const std::string& parameter : parameters) module.add_parameters(parameter);
  return request;
}

TEST(SandboxModules, TakesNamesAndParametersAsModprobeDoes) {
  EXPECT_TRUE(CheckModules(Request("nf-conntrack", {"hashsize=4096", "acct"})));
  EXPECT_TRUE(CheckModules(Request("e1000e", {"InterruptThrottleRate=3000,3000,3000"})));
}

TEST(SandboxModules, RefusesWhatCannotBeAName) {
  for (const std::string name : {"", ".", "..", "-r", "a/b", "../../x", "a b", "a\n"}) {
    const auto checked = CheckModules(Request(name));
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code(), Code::kInvalidArgument);
  }
  EXPECT_FALSE(CheckModules(Request(std::string(56, 'a'))));
}

TEST(SandboxModules, RefusesWhatCannotBeAParameter) {
  for (const std::string parameter : {"", "=1", "../x=1", "a=b c", "a=\n"}) {
    EXPECT_FALSE(CheckModules(Request("nbd", {parameter}))) << parameter;
  }
  EXPECT_FALSE(CheckModules(Request("nbd", {"a=" + std::string(2000, '1')})));
}

TEST(SandboxModules, RefusesMoreThanSixtyFour) {
  agent::CreateSandboxRequest request;
  for (int i = 0; i < 65; ++i) request.add_kernel_modules()->set_name("nbd");
  EXPECT_THAT(CheckModules(request).error().message(), HasSubstr("65 kernel modules"));
}

class SetModuleParametersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sys::MakeDirs(dir_.path() + "/ip_vs/parameters"));
    ASSERT_TRUE(sys::WriteFile(File("conn_tab_bits"), "12\n"));
  }
  std::string File(const std::string& name) { return dir_.path() + "/ip_vs/parameters/" + name; }
  Result<void> Set(const std::string& parameter) {
    return SetModuleParameters(dir_.path(), Request("ip-vs", {parameter}).kernel_modules(0));
  }
  const sys::TemporaryDir dir_{"modules"};
};

TEST_F(SetModuleParametersTest, LeavesAParameterThatIsAsWanted) {
  EXPECT_TRUE(Set("conn_tab_bits=12"));
  EXPECT_EQ(*sys::ReadFile(File("conn_tab_bits")), "12\n");
}

TEST_F(SetModuleParametersTest, KnowsHowTheKernelShowsSwitches) {
  ASSERT_TRUE(sys::WriteFile(File("expire_nodest_conn"), "Y\n"));
  EXPECT_TRUE(Set("expire_nodest_conn=1"));
  EXPECT_TRUE(Set("expire_nodest_conn"));
  EXPECT_EQ(*sys::ReadFile(File("expire_nodest_conn")), "Y\n");
}

TEST_F(SetModuleParametersTest, SetsAParameterThatDiffers) {
  EXPECT_TRUE(Set("conn_tab_bits=20"));
  EXPECT_EQ(sys::ReadFile(File("conn_tab_bits"))->substr(0, 2), "20");
}

TEST_F(SetModuleParametersTest, NamesTheKernelsOptionForOneThatCannotBeSet) {
  const auto set = Set("size=3");
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(set.error().message(),
              AllOf(HasSubstr("\"ip-vs\""), HasSubstr("ip_vs.size=3"), HasSubstr("kernel_params")));
}

}  // namespace
}  // namespace kata::guest
