// SPDX-License-Identifier: Apache-2.0
#include "host/shim/command_line.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::shim {
namespace {

Result<CommandLine> Parse(std::vector<const char*> words) { return ParseCommandLine(words); }

TEST(CommandLine, TakesWhatContainerdSays) {
  const auto line =
      Parse({"-namespace", "default", "-address", "/run/containerd/containerd.sock",
             "-publish-binary", "/usr/bin/containerd", "-id", "web", "-debug", "start"});
  ASSERT_TRUE(line) << line.error().message();
  EXPECT_EQ(line->action, Action::kStart);
  EXPECT_EQ(line->namespace_name, "default");
  EXPECT_EQ(line->address, "/run/containerd/containerd.sock");
  EXPECT_EQ(line->publish_binary, "/usr/bin/containerd");
  EXPECT_EQ(line->id, "web");
  EXPECT_TRUE(line->debug);
}

TEST(CommandLine, BuildersNeedNoContainer) {
  for (const auto& [word, action] :
       {std::pair{"template", Action::kTemplate}, std::pair{"layers", Action::kLayers}}) {
    const auto line = Parse({word, "-config", "/etc/c.toml"});
    ASSERT_TRUE(line) << line.error().message();
    EXPECT_EQ(line->action, action);
    EXPECT_EQ(line->config, "/etc/c.toml");
  }
}

TEST(CommandLine, TakesEveryFormOfAFlag) {
  for (const char* form : {"-id=web", "--id=web"}) {
    const auto line = Parse({form, "--namespace", "n", "--debug=false", "delete", "-bundle=/b"});
    ASSERT_TRUE(line) << line.error().message();
    EXPECT_EQ(line->id, "web");
    EXPECT_EQ(line->bundle, "/b");
    EXPECT_EQ(line->action, Action::kDelete);
    EXPECT_FALSE(line->debug);
  }
}

TEST(CommandLine, VersionInfoAndHelpNeedNothingElse) {
  EXPECT_EQ(Parse({"-v"})->action, Action::kVersion);
  EXPECT_EQ(Parse({"--version"})->action, Action::kVersion);
  EXPECT_EQ(Parse({"-info"})->action, Action::kInfo);
  EXPECT_EQ(Parse({"-h"})->action, Action::kHelp);
}

TEST(CommandLine, ADaemonNeedsItsDescriptor) {
  const auto line = Parse({"-namespace", "n", "-id", "a", "-listen-fd", "3"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->action, Action::kDaemon);
  EXPECT_EQ(line->listen_fd, 3);
  EXPECT_FALSE(Parse({"-namespace", "n", "-id", "a"}));
  EXPECT_FALSE(Parse({"-namespace", "n", "-id", "a", "-listen-fd", "2"}));
  EXPECT_FALSE(Parse({"-namespace", "n", "-id", "a", "-listen-fd", "3x"}));
}

TEST(CommandLine, NamesTheWordAtFault) {
  const std::vector<std::pair<std::vector<const char*>, std::string>> cases = {
      {{"-namespace", "n", "-id", "a", "-frob", "start"}, "-frob"},
      {{"-namespace", "n", "-id", "a", "stop"}, "stop"},
      {{"-namespace", "n", "-id", "a", "start", "delete"}, "delete"},
      {{"-namespace", "n", "-id"}, "-id"},
      {{"-namespace", "n", "start"}, "-id"},
      {{"-id", "a", "start"}, "-namespace"},
      {{"-namespace", "n", "-id", "a", "-debug=x", "start"}, "-debug"},
      {{"-namespace", "n", "-id", "a/b", "start"}, "a/b"},
      {{"-namespace", "n", "-id", "..", "start"}, ".."},
      {{"-namespace", "../n", "-id", "a", "start"}, "../n"},
  };
  for (const auto& [words, fault] : cases) {
    const auto line = Parse(words);
    ASSERT_FALSE(line) << fault;
    EXPECT_EQ(line.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(line.error().message(), testing::HasSubstr(fault));
  }
}

}  // namespace
}  // namespace kata::shim
