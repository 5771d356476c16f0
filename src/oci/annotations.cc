// SPDX-License-Identifier: Apache-2.0
#include "oci/annotations.h"

#include <array>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "oci/id.h"

namespace kata::oci {
namespace {

struct KindWord {
  const char* key;
  const char* sandbox;
  const char* member;
};

// In order of precedence.
constexpr std::array kKindKeys = {
    KindWord{"io.kubernetes.cri.container-type", "sandbox", "container"},
    KindWord{"io.kubernetes.cri-o.ContainerType", "sandbox", "container"},
    KindWord{"io.kubernetes.docker.type", "podsandbox", "container"},
};
constexpr std::array kSandboxIdKeys = {"io.kubernetes.cri.sandbox-id",
                                       "io.kubernetes.cri-o.SandboxID", "io.kubernetes.sandbox.id"};
constexpr std::array kNameKeys = {"io.kubernetes.cri.container-name",
                                  "io.kubernetes.cri-o.ContainerName"};

const std::string* Find(const Spec& spec, const char* key) {
  const auto it = spec.annotations().find(key);
  return it == spec.annotations().end() ? nullptr : &it->second;
}

std::string FirstOf(const Spec& spec, std::span<const char* const> keys) {
  for (const char* key : keys) {
    if (const std::string* value = Find(spec, key); value != nullptr && !value->empty()) {
      return *value;
    }
  }
  return {};
}

std::unexpected<Error> RefuseAnnotation(const char* key, std::string_view value,
                                        std::string_view expected) {
  return Fail(Code::kInvalidArgument, fmt::format("annotation {}: expected {}, got \"{}\"", key,
                                                  expected, value.substr(0, 60)));
}

}  // namespace

std::string_view ContainerKindName(ContainerKind kind) {
  switch (kind) {
    case ContainerKind::kSandbox:
      return "pod_sandbox";
    case ContainerKind::kMember:
      return "pod_container";
    case ContainerKind::kSingle:
      break;
  }
  return "single_container";
}

Result<PodRole> RoleFromAnnotations(const Spec& spec) {
  PodRole role;
  for (const KindWord& word : kKindKeys) {
    const std::string* value = Find(spec, word.key);
    if (value == nullptr) continue;
    if (*value == word.sandbox) {
      role.kind = ContainerKind::kSandbox;
    } else if (*value == word.member) {
      role.kind = ContainerKind::kMember;
    } else {
      return RefuseAnnotation(word.key, *value, fmt::format("{} or {}", word.sandbox, word.member));
    }
    break;
  }
  role.container_name = FirstOf(spec, kNameKeys);
  if (role.kind == ContainerKind::kSingle) return role;

  role.sandbox_id = FirstOf(spec, kSandboxIdKeys);
  if (role.sandbox_id.empty()) {
    // A sandbox's id is its container's own; only members need to be told.
    if (role.kind == ContainerKind::kSandbox) return role;
    return Fail(Code::kInvalidArgument,
                fmt::format("the container belongs to a pod, but no annotation names its sandbox "
                            "(expected one of {})",
                            fmt::join(kSandboxIdKeys, ", ")));
  }
  KATA_TRY(ValidateId("sandbox id in the annotations", role.sandbox_id));
  return role;
}

}  // namespace kata::oci
