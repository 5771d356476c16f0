// SPDX-License-Identifier: Apache-2.0
#include "host/shim/bundle.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::shim {
namespace {

TEST(ParsePodRole, AContainerWithoutAnnotationsIsItsOwnSandbox) {
  for (const char* text : {R"({"ociVersion":"1.0.2","process":{"args":["true"]}})", "{}",
                           R"({"annotations":{}})", R"({"annotations":{"a":"b"},"root":null})"}) {
    const auto role = ParsePodRole(text);
    ASSERT_TRUE(role) << role.error().message();
    EXPECT_EQ(role->kind, oci::ContainerKind::kSingle) << text;
    EXPECT_EQ(SandboxIdOf(*role, "c1"), "c1");
  }
}

TEST(ParsePodRole, AMemberOfAPodNamesItsSandbox) {
  const auto role =
      ParsePodRole(R"({"process":{"annotations":{"io.kubernetes.cri.sandbox-id":"no"}},
      "annotations":{"io.kubernetes.cri.container-type":"container",
                     "io.kubernetes.cri.sandbox-id":"pod1"},"linux":{}})");
  ASSERT_TRUE(role) << role.error().message();
  EXPECT_EQ(role->kind, oci::ContainerKind::kMember);
  EXPECT_EQ(SandboxIdOf(*role, "c1"), "pod1");
}

TEST(ParsePodRole, KnowsCriO) {
  const auto role = ParsePodRole(R"({"annotations":{"io.kubernetes.cri-o.ContainerType":"container",
                                    "io.kubernetes.cri-o.SandboxID":"pod1"}})");
  ASSERT_TRUE(role) << role.error().message();
  EXPECT_EQ(SandboxIdOf(*role, "c1"), "pod1");
}

TEST(ParsePodRole, TheSandboxContainerKeepsItsOwnId) {
  const auto role = ParsePodRole(R"({"annotations":{"io.kubernetes.cri.container-type":"sandbox",
                                    "io.kubernetes.cri.sandbox-id":"pod1"}})");
  ASSERT_TRUE(role) << role.error().message();
  EXPECT_EQ(SandboxIdOf(*role, "pod1"), "pod1");
}

TEST(ParsePodRole, RefusesWhatIsNoSpecification) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"), std::string("7"),
        std::string(R"({"annotations":{"a":1}})"), std::string(R"({"annotations":{"a":{}}})"),
        std::string(R"({"annotations":{"a":"b")"), R"({"a":)" + std::string(100'000, '[')}) {
    const auto role = ParsePodRole(text);
    ASSERT_FALSE(role) << text.substr(0, 40);
    EXPECT_EQ(role.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(role.error().message(), testing::StartsWith("config.json: "));
    EXPECT_GT(role.error().message().size(), sizeof("config.json: ")) << text.substr(0, 40);
  }
}

TEST(ReadPodRole, NamesTheMissingFile) {
  EXPECT_THAT(ReadPodRole("/nowhere").error().message(),
              testing::HasSubstr("/nowhere/config.json"));
}

}  // namespace
}  // namespace kata::shim
