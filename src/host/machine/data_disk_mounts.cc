// SPDX-License-Identifier: Apache-2.0
#include "host/machine/data_disk_mounts.h"

#include <fcntl.h>

#include <memory>
#include <ranges>
#include <string_view>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/byte_size.h"
#include "host/storage/overlay_table.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

constexpr const char* kFirstCgroup = "/init";

// The upper layer of a root file system; empty: none that can be told.
std::string UpperOf(const std::vector<storage::RootfsMount>& rootfs, const std::string& directory,
                    int mount_namespace) {
  constexpr std::string_view kUpper = "upperdir=";
  for (const storage::RootfsMount& mount : rootfs) {
    for (const std::string& option : mount.options) {
      if (option.starts_with(kUpper)) return option.substr(kUpper.size());
    }
  }
  if (!rootfs.empty()) return "";
  const auto overlay = storage::FindOverlay(directory, mount_namespace);
  return overlay ? overlay->upper : "";
}

}  // namespace

LookForImage DataDiskMounts::look() const {
  return [this](const storage::DataImage& image) {
    return storage::LookForImage(image, mount_namespace_);
  };
}

Result<void> DataDiskMounts::ReplaceVolumes(std::vector<SharedVolume>* volumes) {
  for (const DataDisk& disk :
       KATA_TRY(PlanDataDisks(spec_, machine_.config()->runtime, look(), volumes))) {
    if (!KATA_TRY(Add(disk))) volumes->push_back(disk.volume);
  }
  return {};
}

Result<void> DataDiskMounts::AddToRoot(const std::vector<storage::RootfsMount>& rootfs,
                                       const std::string& directory) {
  const auto root = LookAtRoot(rootfs, directory);
  if (!root) return {};
  for (const DataDisk& disk :
       KATA_TRY(PlanRootDataDisks(spec_, machine_.config()->runtime, look(), *root))) {
    KATA_TRY(Add(disk));
  }
  return {};
}

// As it has been shared.
Result<DataRoot> DataDiskMounts::LookAtRoot(const std::vector<storage::RootfsMount>& rootfs,
                                            const std::string& directory) const {
  const std::string upper = UpperOf(rootfs, directory, mount_namespace_);
  const size_t end = upper.rfind('/');
  if (end == std::string::npos || end == 0) return Fail(Code::kNotFound, "no upper layer");
  const std::string path = KATA_TRY(
      machine_.WithShare([this](const storage::SharedDirectory& share) -> Result<std::string> {
        return share.RootfsOf(container_id_);
      }));
  auto root = std::make_shared<sys::RootDir>(KATA_TRY(sys::Open(path, O_PATH | O_DIRECTORY)));
  return DataRoot{.beside = upper.substr(0, end),
                  .look = [root = std::move(root)](const std::string& name) {
                    return storage::LookInRoot(*root, name);
                  }};
}

Result<bool> DataDiskMounts::Add(const DataDisk& disk) {
  const std::string& destination = disk.volume.destination;
  const uint64_t size = KATA_TRY(config::ParseByteSize(machine_.config()->runtime.data_disk_size));
  auto image = storage::OpenDataImage(disk.image, static_cast<int64_t>(size), mount_namespace_);
  if (!image && disk.is_new) {
    log::Warn(
        "no disk: overlays cannot be mounted there",
        {{"container", container_id_}, {"at", destination}, {"reason", image.error().message()}});
    return false;
  }
  const std::string where =
      fmt::format("mount \"{}\": disk \"{}\"", destination, disk.image.Path());
  sys::UniqueFd file = KATA_TRY_WITHIN(where, std::move(image));
  const auto show = [&](storage::SharedDirectory& share) {
    return share.AddDataImage(container_id_, std::move(file), mount_namespace_);
  };
  MountedDataDisk mounted{
      .disk = disk,
      .mount = disk.volume.mount,
      .storage = DataDiskStorage(KATA_TRY_WITHIN(where, machine_.WithShare(show)))};
  if (mounted.mount < 0) {
    mounted.mount = spec_.mounts_size();
    oci::Mount& added = *spec_.add_mounts();
    added.set_type("bind");
    added.set_destination(destination);
    added.add_options("rbind");
  }
  spec_.mutable_mounts(mounted.mount)->set_source(mounted.storage.mount_point());
  disks_.push_back(std::move(mounted));
  // What daemons limit has cgroups below the container's, beside that of its first process.
  oci::Process& process = *spec_.mutable_process();
  if (process.cgroup().empty() && !RunsSystemd(spec_)) process.set_cgroup(kFirstCgroup);
  return true;
}

Result<void> DataDiskMounts::ShareInstead(std::vector<MountedDataDisk> disks) {
  for (const MountedDataDisk& each : disks) {
    if (each.disk.is_new) continue;
    return Fail(Code::kFailedPrecondition,
                fmt::format("mount \"{}\": what it holds is in the disk \"{}\": start it with a "
                            "guest kernel that has loop devices and ext4",
                            each.disk.volume.destination, each.disk.image.Path()));
  }
  // Those in the root came last: the numbers of the others stay.
  for (const MountedDataDisk& each : std::views::reverse(disks)) {
    const SharedVolume& volume = each.disk.volume;
    KATA_TRY(storage::RemoveDataImage(each.disk.image, mount_namespace_));
    if (volume.mount < 0) {
      spec_.mutable_mounts()->DeleteSubrange(each.mount, 1);
      continue;
    }
    const auto share_it = [&](storage::SharedDirectory& share) {
      return share.AddVolume(container_id_,
                             {volume.source, volume.destination, volume.options, volume.ids},
                             mount_namespace_);
    };
    spec_.mutable_mounts(each.mount)
        ->set_source(KATA_TRY_WITHIN(fmt::format("mount \"{}\"", volume.destination),
                                     machine_.WithShare(share_it)));
  }
  return {};
}

}  // namespace kata::sandbox
