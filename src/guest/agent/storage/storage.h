// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/storage.h - file systems that the host asks for, and devices it plugs in.
//
// Nothing here waits: the caller asks whether a device has arrived, and asks again when the kernel
// has announced something (uevents) until its own deadline.
// Basis: the protocol's Storage and Device messages (upstream driver names and address formats).
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/agent/storage/upper_disk.h"
#include "proto/agent.pb.h"
#include "proto/oci.pb.h"

namespace kata::guest {

// Driver names as GetGuestDetails lists them. "loop", "overlayfs" and "overlayfs-links" are among
// them only where the kernel has what they need; to know that, makes it load their drivers.
std::vector<std::string_view> StorageDrivers();
std::span<const std::string_view> DeviceDrivers();

// True when the device that `storage` needs is there, or when it needs none. Makes the bus look for
// it where that is needed (SCSI scan).
// Errors  kInvalidArgument  unknown driver, or an address that does not parse
Result<bool> StorageIsReady(const agent::Storage& storage);
Result<bool> DeviceIsReady(const agent::Device& device);

// Puts a device that is ready into the container's spec (linux.devices and the device cgroup's
// rules), by its numbers in the guest.
Result<void> AddDevice(const agent::Device& device, oci::Spec* spec);

// What is mounted for the sandbox and its containers, counted by mount point: the same mount point
// asked for again is not mounted again.
class StorageTable {
 public:
  StorageTable() = default;
  StorageTable(const StorageTable&) = delete;
  StorageTable& operator=(const StorageTable&) = delete;

  // A volume that a group is to be given, when it has been mounted.
  struct GroupWish {
    std::string mount_point;
    gid_t group = 0;
    bool only_on_mismatch = false;
  };
  struct Mounted {
    std::vector<std::string> points;
    std::vector<GroupWish> groups;
  };
  // Mounts storages that are ready, in order, making each mount point; an upper layer on a disk has
  // been filled (FillUpperDisk). On error those mounted by
  // this call are released again, last first. What groups are to be given is left to the caller:
  // that takes as long as the volumes are large (GiveToGroups).
  Result<Mounted> Mount(std::span<const agent::Storage* const> storages);
  // Drops one count each, last first; unmounts what nobody uses. Goes on after an error and returns
  // the first.
  Result<void> Release(std::span<const std::string> mount_points);
  // The sandbox ends: unmounts everything, last first, shared storages too.
  Result<void> ReleaseAll();
  // Gives volumes to their groups.
  static Result<void> GiveToGroups(std::span<const GroupWish> wishes);
  // The upper layers on disks of those mounted at `mount_points`.
  std::vector<UpperDisk> UpperDisksOf(std::span<const std::string> mount_points) const;
  // Errors  kNotFound  nothing of this table is mounted there
  Result<void> CheckMounted(const std::string& mount_point) const;
  // Drops what the file system mounted there remembers of names that nobody uses: an overlay looks
  // at its directories anew when they have changed below it. May wait for a sync of it: not for the
  // agent's own thread.
  static Result<void> Reconfigure(const std::string& mount_point);
  // Mounts a storage of driver "ephemeral" again with new options ("remount,size=...").
  static Result<void> RemountEphemeral(const agent::Storage& storage);

 private:
  struct Entry {
    std::string mount_point;
    int users;
    bool shared;  // stays until the sandbox ends
    bool local;   // a directory of the guest's, removed instead of unmounted
    std::optional<UpperDisk> upper;
  };
  std::vector<Entry> entries_;
};

}  // namespace kata::guest
