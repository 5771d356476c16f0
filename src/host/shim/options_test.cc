// SPDX-License-Identifier: Apache-2.0
#include "host/shim/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/shim.pb.h"

namespace kata::shim {
namespace {

wellknown::Any MakeAny(const std::string& type, const std::string& value) {
  wellknown::Any any;
  any.set_type_url(type);
  any.set_value(value);
  return any;
}

TEST(RuntimeOptions, GiveTheConfiguration) {
  RuntimeOptions message;
  message.set_type_url("kata");
  message.set_config_path("/etc/kata.toml");
  message.set_config_body("[runtime]");
  for (const char* type : {"runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options",
                           "type.googleapis.com/runtimeoptions.v1.Options"}) {
    const auto options = ParseRuntimeOptions(MakeAny(type, message.SerializeAsString()));
    ASSERT_TRUE(options) << options.error().message();
    EXPECT_EQ(options->config_path, "/etc/kata.toml");
    EXPECT_EQ(options->config_body, "[runtime]");
  }
}

TEST(RuntimeOptions, RuncsAreNone) {
  // Its second field is a boolean, where ours is the path.
  const auto options = ParseRuntimeOptions(MakeAny("containerd.runc.v1.Options", "\x10\x01"));
  ASSERT_TRUE(options);
  EXPECT_EQ(options->config_path, "");
  EXPECT_TRUE(ParseRuntimeOptions({}));
}

TEST(RuntimeOptions, UnknownOnesAreAnError) {
  const auto options = ParseRuntimeOptions(MakeAny("runsc.v1.Options", ""));
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(options.error().message(), testing::HasSubstr("runsc.v1.Options"));
  EXPECT_FALSE(ParseRuntimeOptions(MakeAny("", "x")));
  EXPECT_FALSE(ParseRuntimeOptions(MakeAny("runtimeoptions.v1.Options", "\xff")));
}

TEST(CheckpointOptions, SayWhetherTheContainerEnds) {
  constexpr char kType[] = "containerd.runc.v1.CheckpointOptions";
  EXPECT_EQ(ParseCheckpointExit({}).value(), std::nullopt);
  EXPECT_EQ(ParseCheckpointExit(MakeAny(kType, "")).value(), false);
  // Exit, and file_locks.
  EXPECT_EQ(ParseCheckpointExit(MakeAny(kType, "\x08\x01\x28\x01")).value(), true);
  EXPECT_EQ(ParseCheckpointExit(MakeAny("runsc.v1.Options", "")).error().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(ParseCheckpointExit(MakeAny(kType, "\xff")).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace kata::shim
