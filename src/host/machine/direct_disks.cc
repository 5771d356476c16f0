// SPDX-License-Identifier: Apache-2.0
#include "host/machine/direct_disks.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace kata::sandbox {

Result<void> CheckGrows(const DirectDisk& disk) {
  const agent::Storage& storage = disk.storage;
  constexpr std::string_view kRemedy = "stop the pod and resize the file system on the host";
  if (storage.fstype() != "ext4") {
    return Fail(Code::kUnimplemented,
                fmt::format("{} does not grow while it is mounted, ext4 alone does; {}",
                            storage.fstype(), kRemedy));
  }
  if (std::ranges::find(storage.options(), "ro") != storage.options().end()) {
    return Fail(Code::kFailedPrecondition, fmt::format("its disk is read-only; {}", kRemedy));
  }
  return {};
}

Result<agent::Storage> DirectDisks::Use(const std::string& container_id, const std::string& source,
                                        const std::function<Result<DirectDisk>()>& attach) {
  std::promise<Result<DirectDisk>> attached;
  std::shared_future<Result<DirectDisk>> disk;
  bool is_new = false;
  {
    const MutexLock lock(mutex_);
    Entry& entry = entries_[source];
    is_new = !entry.disk.valid();
    if (is_new) entry.disk = attached.get_future().share();
    entry.users.insert(container_id);
    disk = entry.disk;
  }
  if (is_new) attached.set_value(attach());
  const Result<DirectDisk>& result = disk.get();
  if (!result) return std::unexpected(result.error());
  return result->storage;
}

std::vector<DirectDisks::Free> DirectDisks::Release(const std::string& container_id) {
  const MutexLock lock(mutex_);
  std::vector<Free> free;
  for (auto each = entries_.begin(); each != entries_.end();) {
    Entry& entry = each->second;
    if (entry.users.erase(container_id) == 0 || !entry.users.empty()) {
      ++each;
      continue;
    }
    // Its last user was answered.
    const Result<DirectDisk>& disk = entry.disk.get();
    free.push_back({.source = each->first, .disk_id = disk ? disk->disk_id : ""});
    each = entries_.erase(each);
  }
  return free;
}

Result<DirectDisk> DirectDisks::Find(const std::string& source) {
  std::shared_future<Result<DirectDisk>> disk;
  {
    const MutexLock lock(mutex_);
    const auto found = entries_.find(source);
    if (found == entries_.end()) {
      return Fail(Code::kNotFound,
                  fmt::format("direct volume \"{}\": no container has it", source));
    }
    disk = found->second.disk;
  }
  return disk.get();
}

}  // namespace kata::sandbox
