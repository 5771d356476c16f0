// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::guest {
namespace {

TEST(ParseCommandLine, KeepsDefaultsWithoutAgentOptions) {
  const Config config = ParseCommandLine("console=hvc0 panic=1 quiet\n");
  EXPECT_EQ(config.log_level, log::Level::kInfo);
  EXPECT_EQ(config.server_addr, "");
  EXPECT_EQ(config.hotplug_timeout, std::chrono::seconds(3));
  EXPECT_EQ(config.container_pipe_size, 0u);
  EXPECT_THAT(config.warnings, testing::IsEmpty());
}

TEST(ParseCommandLine, TakesTheOptionsThatItKnows) {
  const Config config = ParseCommandLine(
      "agent.log=debug  agent.server_addr=vsock://-1:1024\t"
      "agent.hotplug_timeout=7 agent.launch_process_timeout=6 agent.container_pipe_size=65536");
  EXPECT_EQ(config.log_level, log::Level::kDebug);
  EXPECT_EQ(config.server_addr, "vsock://-1:1024");
  EXPECT_EQ(config.hotplug_timeout, std::chrono::seconds(7));
  EXPECT_EQ(config.launch_process_timeout, std::chrono::seconds(6));
  EXPECT_EQ(config.container_pipe_size, 65536u);
  EXPECT_THAT(config.warnings, testing::IsEmpty());
}

TEST(ParseCommandLine, IgnoresOptionsOfOtherAgents) {
  EXPECT_THAT(ParseCommandLine("agent.cdh_api_timeout=x agent.devmode agent.=").warnings,
              testing::IsEmpty());
}

TEST(ParseCommandLine, WarnsOfBadValuesAndKeepsTheDefault) {
  const Config config = ParseCommandLine(
      "agent.log=loud agent.hotplug_timeout=0 "
      "agent.server_addr=nowhere "
      "agent.container_pipe_size=-1");
  EXPECT_EQ(config.log_level, log::Level::kInfo);
  EXPECT_EQ(config.hotplug_timeout, std::chrono::seconds(3));
  EXPECT_EQ(config.server_addr, "");
  EXPECT_THAT(config.warnings, testing::SizeIs(4));
  EXPECT_THAT(config.warnings.front(), testing::HasSubstr("agent.log: bad value \"loud\""));
}

TEST(ParseCommandLine, ReadsUpstreamsLevelsAsOurs) {
  EXPECT_EQ(ParseCommandLine("agent.log=critical").log_level, log::Level::kError);
  EXPECT_EQ(ParseCommandLine("agent.log=warning").log_level, log::Level::kWarn);
}

}  // namespace
}  // namespace kata::guest
