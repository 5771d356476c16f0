// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/hooks.h - programs of the host that the specification names for moments of a
// container's life.
//
// prestart, createRuntime and createContainer run when the machine runs and the container's root
// file system is mounted, before the container exists in the guest; poststart when its program
// executes; poststop when it has been removed. They run on the host, in the mount namespace that
// the shim was started in, with the bundle as working directory and the state on standard input;
// its pid is the VMM's. startContainer hooks are programs of the container and run in the guest.
//
// Safe from every thread. Blocks; not on the event loop's thread.
// Basis: OCI runtime-spec config.md "POSIX-platform Hooks", runtime.md "State".
#pragma once

#include <string>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

class HookRunner {
 public:
  HookRunner() = default;
  HookRunner(std::string container_id, std::string bundle, const oci::Spec& spec);

  // prestart, createRuntime and createContainer, in this order, up to the first that fails.
  // Errors  kInternal          it ended with another code than 0; the message has its output
  //         kDeadlineExceeded  it ran longer than its timeout, ten minutes where it names none
  Result<void> RunCreate(int vmm_pid) const;
  // Up to the first that fails, which fails the start.
  // Errors  as RunCreate
  Result<void> RunPoststart(int vmm_pid) const;
  // All of them; failures are logged, as the specification wants it.
  void RunPoststop() const;

  // The state as hooks read it. `pid` 0 is left out.
  std::string State(const char* status, int pid) const;

 private:
  std::string container_id_;
  std::string bundle_;
  std::string version_;
  oci::Hooks hooks_;
  google::protobuf::Map<std::string, std::string> annotations_;
};

}  // namespace kata::sandbox
