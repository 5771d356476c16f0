// SPDX-License-Identifier: Apache-2.0
//
// oci/annotations.h - what the annotations of a specification say about pods.
//
// containerd's CRI plugin, CRI-O and the old dockershim tell by annotations whether a container is
// a pod's sandbox or belongs to one. ctr, nerdctl, Docker and Podman set none of them: such a
// container gets a sandbox of its own.
#pragma once

#include <string>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::oci {

enum class ContainerKind {
  kSingle,   // a sandbox of its own
  kSandbox,  // the first container of a pod, which makes the sandbox
  kMember,   // a further container of the pod `sandbox_id`
};

// "single_container", "pod_sandbox", "pod_container": the words of the annotation
// io.katacontainers.pkg.oci.container_type that agents read.
std::string_view ContainerKindName(ContainerKind kind);

struct PodRole {
  ContainerKind kind = ContainerKind::kSingle;
  std::string sandbox_id;      // of the pod; empty for kSingle, and for a kSandbox that says none
  std::string container_name;  // as the pod calls it; may be empty
};

// Errors  kInvalidArgument  an unknown container type, a member without a sandbox id, or a sandbox
//                           id that oci/id.h refuses
Result<PodRole> RoleFromAnnotations(const Spec& spec);

}  // namespace kata::oci
