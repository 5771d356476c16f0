// SPDX-License-Identifier: Apache-2.0
//
// host/plan/data_disks.h - which directories of a container are disks, since a daemon in it will
// mount overlays inside of them (storage/data_image.h).
//
// A directory of the configuration's list (`data_disks`) is one where the caller has mounted an
// empty directory of the host there, or one that holds our image and nothing else, in a container
// that may mount (CAP_SYS_ADMIN: without it no daemon makes overlays, and the caller gets the files
// that it expects). What holds files is shared as ever: it is never hidden or rewritten. Deciding
// only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/config/config.h"
#include "host/plan/guest_plan.h"
#include "host/storage/data_image.h"
#include "proto/agent.pb.h"

namespace kata::sandbox {

struct DataDisk {
  storage::DataImage image;
  SharedVolume volume;  // in whose place it is; of a root, its `mount` is -1
  bool is_new = false;  // there is nothing yet
};

using LookForImage = std::function<Result<storage::DataContent>(const storage::DataImage&)>;

// Takes those out of `volumes` that are disks.
// Errors  kFailedPrecondition  a directory holds our image and files beside it
Result<std::vector<DataDisk>> PlanDataDisks(const oci::Spec& spec,
                                            const config::RuntimeConfig& config,
                                            const LookForImage& look,
                                            std::vector<SharedVolume>* volumes);

// A root file system.
struct DataRoot {
  std::string beside;  // the directory of its upper layer's directory
  std::function<storage::RootPlace(const std::string&)> look;
};

// Those in the container's root. `spec` has all mounts.
// Errors  kFailedPrecondition  a directory has files now, and an image
Result<std::vector<DataDisk>> PlanRootDataDisks(const oci::Spec& spec,
                                                const config::RuntimeConfig& config,
                                                const LookForImage& look, const DataRoot& root);

// Whether the first process is systemd, which makes itself a cgroup beside those of its services.
bool RunsSystemd(const oci::Spec& spec);

// What the guest is to do with an image that it sees at `path`.
agent::Storage DataDiskStorage(const std::string& path);

// Whether a storage is one of those, and whether the guest could not mount one of them.
bool IsDataDisk(const agent::Storage& storage);
bool IsOfDataDisk(const Error& error);

}  // namespace kata::sandbox
