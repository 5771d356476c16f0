// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/sandbox.h - what the containers of this guest share.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "guest/agent/container/container.h"
#include "guest/agent/network/guest_network.h"
#include "guest/agent/pid_keeper.h"
#include "proto/agent.pb.h"
#include "sys/fd.h"

namespace kata::guest {

// Where things of the sandbox live in the guest; names are part of the protocol.
inline constexpr const char* kSandboxDir = "/run/kata-containers/sandbox";
// Copies of volumes that change on the host.
inline constexpr const char* kCopiesDir = "/run/kata-containers/copies";
inline constexpr const char* kSharedDir = "/run/kata-containers/shared/containers";

// One sandbox: made by CreateSandbox, ended with the guest.
class Sandbox {
 public:
  // Makes the namespaces, sets the host name and kernel parameters in them, and writes the
  // resolver's configuration if there are DNS lines. Storages and kernel modules are the caller's
  // business.
  static Result<Sandbox> Create(const agent::CreateSandboxRequest& request);

  const std::string& id() const { return id_; }
  // For a new container. Those that share a pid namespace share that of the sandbox's first
  // container, which is a pod's own, or, in a sandbox without a first one, the one of PreparePid.
  SharedNamespaces NamespacesFor(bool share_pid) const;
  // Before a container that shares its pid namespace, in a sandbox without a first one.
  Result<void> PreparePid();
  // Remembers the pid namespace of `pid`, a container's first process, if it is the first.
  Result<void> KeepPidNamespace(pid_t pid);
  // Forgets it when that process has gone: nobody can join what is left.
  void ForgetPidNamespace(pid_t pid);
  // In the namespace that containers share.
  Result<void> SetHostname(const std::string& hostname);
  bool shares_pid() const { return shares_pid_; }
  GuestNetwork& network() { return network_; }

  std::vector<std::string> mount_points;

 private:
  explicit Sandbox(GuestNetwork network) : network_(std::move(network)) {}

  std::string id_;
  bool shares_pid_ = false;
  bool without_first_ = false;
  GuestNetwork network_;
  sys::UniqueFd ipc_;
  sys::UniqueFd uts_;
  sys::UniqueFd pid_;
  pid_t pid_owner_ = -1;
  std::optional<PidKeeper> keeper_;
};

}  // namespace kata::guest
