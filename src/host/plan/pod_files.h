// SPDX-License-Identifier: Apache-2.0
//
// host/plan/pod_files.h - files of /etc that all containers of a pod have, where nobody else makes
// them: a pod of the sandbox API is told of its host name and name servers, and its containers'
// specifications name no file for them.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "proto/cri.pb.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// By their paths in the containers, their contents: /etc/hostname, /etc/hosts and /etc/resolv.conf.
// `resolver` is the host's resolv.conf, for a pod without one of its own. Pure.
// Errors  kInvalidArgument  a word with a line break in it
Result<std::map<std::string, std::string>> PlanPodFiles(const cri::PodSandboxConfig& config,
                                                        const std::string& resolver);

// Mounts `sources` (by the same paths, files of the host) into a container, but for those where the
// specification has something already. Read-only with its root. Pure.
void AddPodFiles(const std::map<std::string, std::string>& sources, oci::Spec* spec);

}  // namespace kata::sandbox
