// SPDX-License-Identifier: Apache-2.0
#include "host/shim/info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace kata::shim {
namespace {

TEST(RuntimeInfo, EchoesTheOptions) {
  wellknown::Any options;
  options.set_type_url("runtimeoptions.v1.Options");
  options.set_value("x");
  const auto info = MakeRuntimeInfo(options.SerializeAsString());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->name(), "io.containerd.kata.v2");
  EXPECT_FALSE(info->version().version().empty());
  EXPECT_EQ(info->options().type_url(), "runtimeoptions.v1.Options");
  EXPECT_EQ(info->options().value(), "x");
}

TEST(RuntimeInfo, NeedsNoOptions) { EXPECT_FALSE(MakeRuntimeInfo("")->has_options()); }

TEST(RuntimeInfo, RefusesGarbage) {
  EXPECT_EQ(MakeRuntimeInfo("\xff\xff").error().code(), Code::kInvalidArgument);
}

TEST(RuntimeInfo, FeaturesAreJsonThatPromisesIdmappedMounts) {
  const auto info = MakeRuntimeInfo("");
  EXPECT_EQ(info->features().type_url(),
            "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
  const auto features = nlohmann::json::parse(info->features().value());
  EXPECT_EQ(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
}

TEST(RuntimeInfo, SaysWhatMountsItTakesWithoutContainerdMountingThem) {
  const auto info = MakeRuntimeInfo("");
  EXPECT_EQ(info->annotations().at("containerd.io/runtime-allow-mounts"),
            "erofs,format/mkdir/overlay,format/bind");
}

TEST(VersionText, HasTheFormOfContainerdsShims) {
  EXPECT_THAT(VersionText("/bin/containerd-shim-kata-v2"),
              testing::MatchesRegex("/bin/containerd-shim-kata-v2:\n  Version:  [^\n]+\n"
                                    "  Revision: [^\n]+\n\n"));
}

}  // namespace
}  // namespace kata::shim
