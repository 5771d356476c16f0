// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/peer.h - containers that are to share a virtual machine.
//
// Podman says that a container belongs to a pod by the namespaces it joins: those of the process of
// another container, "/proc/<pid>/ns/ipc". Here that process is a stand-in, and sharing namespaces
// means sharing the machine that they are in.
// Basis: OCI runtime-spec config-linux.md "Namespaces".
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "host/cli/oci/state_dir.h"
#include "proto/oci.pb.h"

namespace kata::cli::oci {

// The container whose namespaces `spec` joins, if they are those of a container below `root`.
// Namespaces of other processes are not looked at.
//
// Errors  kUnimplemented  of containers in different machines, or the pid namespace of one that is
//                         not its machine's first
Result<std::optional<State>> FindPeer(const std::string& root, const ::kata::oci::Spec& spec);

// The text of config.json, where it joins the user or time namespace of a container below `root`
// and does not say how that maps ids or sets clocks, with what that container's says: the guest
// makes a namespace like it. Errors  kInvalidArgument  not JSON
Result<std::string> WithJoinedMappings(const std::string& root, std::string config);

// Whether a container below `root` runs in the sandbox.
bool SandboxLives(const std::string& root, const std::string& sandbox);

// The text of config.json with annotations that make the container a member of `sandbox`, or a
// sandbox of its own.
Result<std::string> AsMember(const std::string& config, const std::string& sandbox);
Result<std::string> AsSandbox(const std::string& config, const std::string& id);

// Whether the process is a stand-in; a number may have gone to somebody else.
bool IsStandIn(pid_t pid);

// The process id in "/proc/<pid>/ns/<type>"; 0 where the path is another one.
pid_t NamespaceOwner(const std::string& path);

}  // namespace kata::cli::oci
