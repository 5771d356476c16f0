// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/guest_container.h"

#include <fcntl.h>

#include <chrono>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/sandbox/guest_mounts.h"
#include "sys/file.h"

namespace kata::sandbox {
namespace {

constexpr auto kDeviceTimeout = std::chrono::seconds(20);

// Short, and different for every disk of a machine: SCSI serial numbers are short.
std::string DiskId(const std::string& container_id, size_t index) {
  return fmt::format("d{:016x}-{}", std::hash<std::string>()(container_id), index);
}

// O_EXCL on a block device refuses one that the host has mounted: two kernels writing to one file
// system destroy it.
Result<sys::UniqueFd> OpenDisk(const GuestDisk& disk) {
  auto fd = sys::Open(disk.source, (disk.read_only ? O_RDONLY : O_RDWR) | O_EXCL);
  if (!fd && fd.error().error_number() == EBUSY) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("device \"{}\": in use on the host; unmount it first", disk.source));
  }
  return fd;
}

std::vector<storage::MountPoint> MountPointsOf(const oci::Spec& spec,
                                               const std::vector<SharedVolume>& volumes,
                                               int look_in) {
  std::vector<storage::MountPoint> points;
  for (const oci::Mount& mount : spec.mounts()) points.push_back({mount.destination()});
  for (const SharedVolume& volume : volumes) {
    const SourceKind kind =
        volume.overlay ? SourceKind::kDirectory : ClassifySourceIn(look_in, volume.source);
    points[static_cast<size_t>(volume.mount)].file = kind != SourceKind::kDirectory;
  }
  // Made when it is missing, which the guest cannot do in a read-only root.
  points.push_back({spec.process().cwd()});
  return points;
}

}  // namespace

Result<GuestContainer> GuestContainer::Prepare(Machine& machine, const std::string& container_id,
                                               GuestPlan plan,
                                               const std::vector<storage::RootfsMount>& rootfs,
                                               const std::string& bundle, int look_in) {
  GuestContainer container;
  container.look_in_ = look_in;
  container.container_id_ = container_id;
  container.request_.set_container_id(container_id);
  container.request_.set_sandbox_pidns(plan.share_pid_namespace);
  container.disks_ = std::move(plan.disks);
  *container.request_.mutable_oci() = std::move(plan.spec);
  auto prepared = container.ShareRootfs(machine, rootfs, bundle, plan);
  if (prepared) prepared = container.ShareVolumes(machine, plan.volumes);
  if (!prepared) {
    container.Remove(machine);
    return std::unexpected(std::move(prepared).error());
  }
  return container;
}

Result<void> GuestContainer::ShareRootfs(Machine& machine,
                                         const std::vector<storage::RootfsMount>& rootfs,
                                         const std::string& bundle, const GuestPlan& plan) {
  const auto mount_points = MountPointsOf(request_.oci(), plan.volumes, look_in_);
  oci::Root& root = *request_.mutable_oci()->mutable_root();
  const std::string directory =
      root.path().starts_with('/') ? root.path() : fmt::format("{}/{}", bundle, root.path());
  root.set_path(KATA_TRY(machine.WithShare([&](storage::SharedDirectory& share) {
    return share.AddRootfs(container_id_, rootfs, directory, root.readonly(), mount_points,
                           look_in_);
  })));
  const storage::RootUse use = PlanRootUse(request_.oci(), plan.host_hooks);
  return machine.WithShare([&](storage::SharedDirectory& share) {
    return storage::CheckRoot(share.RootfsOf(container_id_), use);
  });
}

Result<void> GuestContainer::ShareVolumes(Machine& machine,
                                          const std::vector<SharedVolume>& volumes) {
  for (const SharedVolume& volume : volumes) {
    const auto share_it = [&](storage::SharedDirectory& share) {
      const auto index = static_cast<size_t>(volume.mount);
      return volume.overlay
                 ? share.AddOverlay(container_id_, index, volume.destination, volume.options)
                 : share.AddVolume(container_id_, index,
                                   {volume.source, volume.destination, volume.options, volume.ids},
                                   look_in_);
    };
    oci::Mount& mount = *request_.mutable_oci()->mutable_mounts(volume.mount);
    mount.set_source(KATA_TRY_WITHIN(fmt::format("mount \"{}\"", volume.destination),
                                     machine.WithShare(share_it)));
  }
  return {};
}

Result<void> GuestContainer::AttachDisks(Machine& machine) {
  for (const GuestDisk& disk : disks_) {
    const std::string id = DiskId(container_id_, disk_ids_.size());
    hypervisor::Disk device;
    device.id = id;
    device.fd = KATA_TRY(OpenDisk(disk));
    device.read_only = disk.read_only;
    device.bus = machine.config().hypervisor.block_device_driver == "virtio-scsi"
                     ? hypervisor::Disk::Bus::kScsi
                     : hypervisor::Disk::Bus::kBlock;
    device.direct_io = machine.config().hypervisor.block_device_cache_direct;
    const hypervisor::GuestAddress address =
        KATA_TRY_WITHIN(fmt::format("device \"{}\"", disk.source),
                        machine.vm().Attach(std::move(device), Deadline::After(kDeviceTimeout)));
    disk_ids_.push_back(id);
    agent::Device& in_guest = *request_.add_devices();
    in_guest.set_type(address.scsi.empty() ? "blk" : "scsi");
    in_guest.set_id(address.scsi.empty() ? address.pci_path : address.scsi);
    in_guest.set_container_path(disk.container_path);
  }
  return {};
}

void GuestContainer::Remove(Machine& machine) {
  for (const std::string& id : std::exchange(disk_ids_, {})) {
    if (!machine.alive()) break;
    if (auto detached = machine.vm().Detach(id, Deadline::After(kDeviceTimeout)); !detached) {
      log::Warn("a disk stays on the machine", {{"error", detached.error().message()}});
    }
  }
  auto removed = machine.WithShare(
      [&](storage::SharedDirectory& share) { return share.RemoveContainer(container_id_); });
  if (!removed) log::Warn("unmount", {{"error", removed.error().message()}});
}

}  // namespace kata::sandbox
