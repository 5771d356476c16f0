// SPDX-License-Identifier: Apache-2.0
#include "host/plan/savable.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kata::sandbox {
namespace {

std::unexpected<Error> Refused(std::string reason) {
  return Fail(Code::kFailedPrecondition, std::move(reason));
}

}  // namespace

Result<void> CheckSavable(const SavableFacts& facts) {
  if (!facts.vmm_saves)
    return Refused("the hypervisor cannot save machines; use one that can (docs/snapshots.md)");
  if (facts.containers != 1) {
    return Refused(
        fmt::format("{} containers share the machine, and only one alone can be saved: "
                    "run it in a sandbox of its own",
                    facts.containers));
  }
  if (!facts.runs) return Refused("the container does not run; start it first");
  if (facts.vsock) {
    return Refused(
        "the agent is connected by vsock, whose address is one machine's alone; set "
        "agent_channel = \"virtio-serial\"");
  }
  if (facts.shares_files) {
    return Refused(
        "files are shared by virtiofs, whose state is not saved; use shared_fs = \"none\"");
  }
  if (!facts.root_on_disks) {
    return Refused(
        fmt::format("the root file system is {}; use one that can be written", facts.root));
  }
  if (facts.huge_or_preallocated) {
    return Refused(
        "the machine's memory is huge or preallocated; switch enable_hugepages and "
        "enable_mem_prealloc off");
  }
  if (!facts.volumes.empty()) {
    return Refused(fmt::format("volumes are not saved: {}; run the container without them",
                               fmt::join(facts.volumes, ", ")));
  }
  if (!facts.execs.empty()) {
    return Refused(
        fmt::format("processes were executed into the container and still run: {}; end "
                    "them first",
                    fmt::join(facts.execs, ", ")));
  }
  return {};
}

}  // namespace kata::sandbox
