// SPDX-License-Identifier: Apache-2.0
//
// host/machine/volume_copy.h - files of the host that a guest without a shared directory gets as
// copies.
//
// Meant for what engines and Kubernetes make for a container: resolv.conf, configuration, secrets,
// empty directories. Neither side sees what the other changes afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/storage/source_tree.h"

namespace kata::sandbox {

// Of one volume; it lives in the guest's memory.
inline constexpr uint64_t kMaxCopiedBytes = 16 << 20;
inline constexpr size_t kMaxCopiedFiles = 4096;

struct VolumeCopy {
  // In the guest. The same for all containers of a sandbox that use the same source, so that they
  // share it as they would on a host; one with mapped ids is the container's.
  std::string path;
  std::vector<agent::GuestFile> files;  // parents first
};

// Reads all of `volume`. Sockets, pipes and devices in a directory are left out. `mount_namespace`
// is the one that its source is meant in; -1: this process's.
// Errors  kNotFound           there is nothing at its source
//         kResourceExhausted  more than the limits above
//         kUnimplemented      neither a file nor a directory
Result<VolumeCopy> ReadVolume(const storage::Volume& volume, const std::string& container_id,
                              int mount_namespace = -1);

// Reads what is behind `tree`, a directory or file of `source`, as files of the guest's `path`.
// Errors  kResourceExhausted  as above
Result<std::vector<agent::GuestFile>> ReadFiles(int tree, const std::string& source,
                                                const std::string& path);

Result<void> SendVolume(const VolumeCopy& copy, agent::AgentClient& agent);

// What a guest has been sent. Safe from every thread.
class VolumeCopies {
 public:
  // Sends `copy` unless the guest has one of this path, which is waited for.
  Result<void> SendOnce(const VolumeCopy& copy, agent::AgentClient& agent) KATA_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_future<Result<void>>> sent_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
