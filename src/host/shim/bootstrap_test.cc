// SPDX-License-Identifier: Apache-2.0
#include "host/shim/bootstrap.h"

#include <gtest/gtest.h>

namespace kata::shim {
namespace {

constexpr char kAddress[] = "unix:///run/containerd/s/00ff";

TEST(StartInput, NothingIsFine) {
  const auto input = ParseStartInput("", "web");
  ASSERT_TRUE(input);
  EXPECT_FALSE(input->params);
  EXPECT_FALSE(input->options);
}

TEST(StartInput, TellsOptionsFromParams) {
  wellknown::Any options;
  options.set_type_url("runtimeoptions.v1.Options");
  options.set_value("\x12\x02/c");
  auto input = ParseStartInput(options.SerializeAsString(), "web");
  ASSERT_TRUE(input);
  ASSERT_TRUE(input->options);
  EXPECT_EQ(input->options->type_url(), "runtimeoptions.v1.Options");

  BootstrapParams params;
  params.set_instance_id("web");
  params.set_namespace_("default");
  params.set_socket_dir("/run/s");
  input = ParseStartInput(params.SerializeAsString(), "web");
  ASSERT_TRUE(input);
  ASSERT_TRUE(input->params);
  EXPECT_EQ(input->params->socket_dir(), "/run/s");
}

TEST(StartInput, OptionsWithBinaryValueAreNotParams) {
  wellknown::Any options;
  options.set_type_url("containerd.runc.v1.Options");
  options.set_value("\xff\xfe");
  const auto input = ParseStartInput(options.SerializeAsString(), "web");
  ASSERT_TRUE(input);
  EXPECT_TRUE(input->options);
}

TEST(StartInput, NamesTheConfigurationInEitherForm) {
  RuntimeOptions message;
  message.set_config_path("/etc/kata.toml");
  wellknown::Any options;
  options.set_type_url("runtimeoptions.v1.Options");
  options.set_value(message.SerializeAsString());
  EXPECT_EQ(ConfigPathOf(*ParseStartInput(options.SerializeAsString(), "web")), "/etc/kata.toml");

  BootstrapParams params;
  params.set_instance_id("web");
  params.add_extensions()->mutable_value()->set_type_url("containerd.something.else");
  EXPECT_EQ(ConfigPathOf(*ParseStartInput(params.SerializeAsString(), "web")), "");
  *params.add_extensions()->mutable_value() = options;
  EXPECT_EQ(ConfigPathOf(*ParseStartInput(params.SerializeAsString(), "web")), "/etc/kata.toml");

  options.set_value("\xff");
  EXPECT_EQ(ConfigPathOf(*ParseStartInput(options.SerializeAsString(), "web")), "");
  EXPECT_EQ(ConfigPathOf(StartInput()), "");
}

TEST(StartInput, RefusesGarbage) {
  EXPECT_EQ(ParseStartInput("\xff\xff\xff", "web").error().code(), Code::kInvalidArgument);
}

TEST(StartAnswer, OldContainerdGetsAPlainAddress) {
  for (const char* version : {static_cast<const char*>(nullptr), "", "2", "1", "x", "3x"}) {
    EXPECT_EQ(FormatStartAnswer(kAddress, version, false), kAddress);
  }
}

TEST(StartAnswer, NewerContainerdGetsJson) {
  for (const char* version : {"3", "4", "99"}) {
    EXPECT_EQ(FormatStartAnswer(kAddress, version, false),
              R"({"version":3,"address":"unix:///run/containerd/s/00ff","protocol":"ttrpc"})");
  }
}

TEST(StartAnswer, ContainerdThatSendsParamsGetsABootstrapResult) {
  BootstrapResult result;
  ASSERT_TRUE(result.ParseFromString(FormatStartAnswer(kAddress, nullptr, true)));
  EXPECT_EQ(result.version(), 3);
  EXPECT_EQ(result.address(), kAddress);
  EXPECT_EQ(result.protocol(), "ttrpc");
  ASSERT_TRUE(result.ParseFromString(FormatStartAnswer(kAddress, "2", true)));
  EXPECT_EQ(result.version(), 2);
}

}  // namespace
}  // namespace kata::shim
