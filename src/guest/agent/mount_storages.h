// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/mount_storages.h - storages mounted as they are asked for, the long steps in
// processes of their own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/storage/storage.h"
#include "proto/agent.pb.h"
#include "sys/event_loop.h"

namespace kata::guest {

using WhenMounted = std::move_only_function<void(Result<std::vector<std::string>>)>;

// Mounts storages that are ready, fills an upper layer on a disk (upper_disk.h), gives volumes to
// their groups. `done` has the mount points that `table` counts for the caller; after an error
// there are none. `storages` and `table` live until then; both are for the loop's thread.
void MountStorages(sys::EventLoop& loop, StorageTable& table,
                   const std::vector<const agent::Storage*>& storages, WhenMounted done);

}  // namespace kata::guest
