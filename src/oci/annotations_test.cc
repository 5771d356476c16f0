// SPDX-License-Identifier: Apache-2.0
#include "oci/annotations.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::oci {
namespace {

using testing::HasSubstr;

Spec WithAnnotations(const std::map<std::string, std::string>& annotations) {
  Spec spec;
  for (const auto& [key, value] : annotations) (*spec.mutable_annotations())[key] = value;
  return spec;
}

TEST(RoleFromAnnotations, IsSingleWithoutPodAnnotations) {
  const auto role = RoleFromAnnotations(WithAnnotations({{"nerdctl/name", "web"}}));
  ASSERT_TRUE(role);
  EXPECT_EQ(role->kind, ContainerKind::kSingle);
  EXPECT_EQ(role->sandbox_id, "");
  EXPECT_EQ(ContainerKindName(role->kind), "single_container");
}

TEST(RoleFromAnnotations, KnowsContainerdCrioAndDockershim) {
  const struct {
    std::map<std::string, std::string> annotations;
    ContainerKind kind;
  } cases[] = {
      {{{"io.kubernetes.cri.container-type", "sandbox"}, {"io.kubernetes.cri.sandbox-id", "p1"}},
       ContainerKind::kSandbox},
      {{{"io.kubernetes.cri.container-type", "container"}, {"io.kubernetes.cri.sandbox-id", "p1"}},
       ContainerKind::kMember},
      {{{"io.kubernetes.cri-o.ContainerType", "container"},
        {"io.kubernetes.cri-o.SandboxID", "p1"}},
       ContainerKind::kMember},
      {{{"io.kubernetes.docker.type", "podsandbox"}, {"io.kubernetes.sandbox.id", "p1"}},
       ContainerKind::kSandbox},
  };
  for (const auto& c : cases) {
    const auto role = RoleFromAnnotations(WithAnnotations(c.annotations));
    ASSERT_TRUE(role) << role.error().message();
    EXPECT_EQ(role->kind, c.kind);
    EXPECT_EQ(role->sandbox_id, "p1");
  }
}

TEST(RoleFromAnnotations, LetsContainerdsAnnotationDecideOverCrios) {
  const auto role = RoleFromAnnotations(WithAnnotations({
      {"io.kubernetes.cri.container-type", "sandbox"},
      {"io.kubernetes.cri-o.ContainerType", "container"},
  }));
  ASSERT_TRUE(role);
  EXPECT_EQ(role->kind, ContainerKind::kSandbox);
}

TEST(RoleFromAnnotations, RefusesWhatCannotBeMeant) {
  const struct {
    std::map<std::string, std::string> annotations;
    const char* message;
  } cases[] = {
      {{{"io.kubernetes.cri.container-type", "vm"}}, "expected sandbox or container, got \"vm\""},
      {{{"io.kubernetes.cri.container-type", "container"}}, "no annotation names its sandbox"},
      {{{"io.kubernetes.cri.container-type", "container"},
        {"io.kubernetes.cri.sandbox-id", "../../x"}},
       "sandbox id in the annotations"},
  };
  for (const auto& c : cases) {
    const auto role = RoleFromAnnotations(WithAnnotations(c.annotations));
    ASSERT_FALSE(role);
    EXPECT_THAT(role.error().message(), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace kata::oci
