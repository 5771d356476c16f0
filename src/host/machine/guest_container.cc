// SPDX-License-Identifier: Apache-2.0
#include "host/machine/guest_container.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/plan/guest_mounts.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

// Where the guest mounts disks that are volumes.
constexpr const char* kDirectFolder = "/run/kata-containers/direct";

}  // namespace

std::string DirectoryOf(const oci::Root& root, const std::string& bundle) {
  return root.path().starts_with('/') ? root.path() : fmt::format("{}/{}", bundle, root.path());
}

Result<GuestContainer> GuestContainer::Prepare(Machine& machine, const std::string& container_id,
                                               GuestPlan plan,
                                               const std::vector<storage::RootfsMount>& rootfs,
                                               const std::string& bundle, int mount_namespace) {
  const std::string directory = DirectoryOf(plan.spec.root(), bundle);
  GuestContainer container(container_id, std::move(plan.spec));
  container.mount_namespace_ = mount_namespace;
  container.request_.set_sandbox_pidns(plan.share_pid_namespace);
  container.disks_ = std::move(plan.disks);
  container.direct_ = std::move(plan.direct);
  container.NoteVolumes(machine.shares_files() ? plan.volumes : std::vector<SharedVolume>());
  auto prepared = container.PlanRoot(machine, rootfs, bundle, plan);
  if (prepared && machine.shares_files()) {
    prepared = container.AddDataDisks(machine, rootfs, directory, &plan.volumes);
  }
  if (prepared) {
    const auto volumes = container.FollowVolumes(machine, plan.volumes);
    prepared = machine.shares_files() ? container.ShareVolumes(machine, volumes)
                                      : container.ReadVolumes(volumes);
  }
  if (!prepared) {
    container.Remove(machine);
    return std::unexpected(std::move(prepared).error());
  }
  return container;
}

GuestContainer::GuestContainer(const std::string& container_id, oci::Spec spec)
    : container_id_(container_id) {
  request_.set_container_id(container_id);
  *request_.mutable_oci() = std::move(spec);
}

GuestContainer GuestContainer::InGuest(const std::string& container_id, GuestPlan plan,
                                       const std::string& root,
                                       std::vector<agent::Storage> storages) {
  GuestContainer container(container_id, std::move(plan.spec));
  container.request_.mutable_oci()->mutable_root()->set_path(root);
  for (agent::Storage& storage : storages) {
    *container.request_.add_storages() = std::move(storage);
  }
  return container;
}

Result<GuestContainer> GuestContainer::Restore(Machine& machine, const std::string& container_id,
                                               const RestoreSource& source, Images* disks) {
  GuestContainer container(container_id, oci::Spec());
  const bool alone = source.snapshot->manifest().layers.empty();
  KATA_TRY_WITHIN("root file system", alone ? container.RestoreDisk(machine, source, disks)
                                            : container.RestoreDisks(source, disks));
  container.root_disk_id_ = source.root_disk;
  container.disk_ids_ = {source.root_disk};
  return container;
}

void GuestContainer::NoteVolumes(const std::vector<SharedVolume>& shared) {
  for (const SharedVolume& volume : shared) volumes_.push_back(volume.destination);
  for (const DirectMount& direct : direct_) {
    volumes_.push_back(request_.oci().mounts(direct.mount).destination());
  }
  for (const GuestDisk& disk : disks_) volumes_.push_back(disk.container_path);
}

SavedBy GuestContainer::saved_by() const {
  return {.root_words = root_words_,
          .root_disk = root_on_disks_ ? root_on_disks_->upper_device() : root_disk_id_,
          .layers = root_on_disks_ ? root_on_disks_->layers() : nullptr,
          .volumes = volumes_};
}

Result<void> GuestContainer::AddDataDisks(Machine& machine,
                                          const std::vector<storage::RootfsMount>& rootfs,
                                          const std::string& directory,
                                          std::vector<SharedVolume>* volumes) {
  DataDiskMounts mounts(machine, container_id_, mount_namespace_, request_.mutable_oci());
  KATA_TRY(mounts.ReplaceVolumes(volumes));
  if (!root_disk_) KATA_TRY(mounts.AddToRoot(rootfs, directory));
  data_disks_ = mounts.TakeDisks();
  holds_writes_ = !data_disks_.empty();
  return {};
}

std::vector<SharedVolume> GuestContainer::FollowVolumes(Machine& machine,
                                                        const std::vector<SharedVolume>& volumes) {
  std::vector<SharedVolume> others;
  for (const SharedVolume& volume : volumes) {
    const std::string path =
        volume.overlay
            ? std::string()
            : machine.follower().Watch(
                  container_id_, {volume.source, volume.destination, volume.options, volume.ids},
                  mount_namespace_);
    if (path.empty()) {
      others.push_back(volume);
    } else {
      // Nobody follows it for a copy of this machine.
      if (!machine.shares_files()) volumes_.push_back(volume.destination);
      request_.mutable_oci()->mutable_mounts(volume.mount)->set_source(path);
    }
  }
  return others;
}

Result<void> GuestContainer::ShareVolumes(Machine& machine,
                                          const std::vector<SharedVolume>& volumes) {
  for (const SharedVolume& volume : volumes) {
    const auto share_it = [&](storage::SharedDirectory& share) {
      return volume.overlay
                 ? share.AddOverlay(container_id_, static_cast<size_t>(volume.mount),
                                    volume.destination, volume.options)
                 : share.AddVolume(container_id_,
                                   {volume.source, volume.destination, volume.options, volume.ids},
                                   mount_namespace_);
    };
    oci::Mount& mount = *request_.mutable_oci()->mutable_mounts(volume.mount);
    mount.set_source(KATA_TRY_WITHIN(fmt::format("mount \"{}\"", volume.destination),
                                     machine.WithShare(share_it)));
  }
  machine.FollowMounts();
  return {};
}

Result<void> GuestContainer::ReadVolumes(const std::vector<SharedVolume>& volumes) {
  for (const SharedVolume& volume : volumes) {
    const std::string where = fmt::format("mount \"{}\"", volume.destination);
    if (volume.overlay) {
      return Fail(Code::kUnimplemented,
                  where + ": an overlay of the host's directories needs shared_fs = \"virtio-fs\"");
    }
    copies_.push_back(KATA_TRY_WITHIN(
        where, ReadVolume({volume.source, volume.destination, volume.options, volume.ids},
                          container_id_, mount_namespace_)));
    request_.mutable_oci()->mutable_mounts(volume.mount)->set_source(copies_.back().path);
  }
  return {};
}

Result<AttachedDisk> GuestContainer::Attach(Machine& machine, const std::string& source,
                                            bool read_only) {
  AttachedDisk disk = KATA_TRY(AttachDisk(machine, source, read_only));
  disk_ids_.push_back(disk.id);
  return disk;
}

Result<AttachedDisk> GuestContainer::Attach(Machine& machine, sys::UniqueFd file) {
  AttachedDisk disk = KATA_TRY(AttachDisk(machine, std::move(file), false));
  disk_ids_.push_back(disk.id);
  return disk;
}

// What several containers have in common: the disk, and its mount in the guest.
Result<void> GuestContainer::DeliverDirect(Machine& machine) {
  for (const DirectMount& direct : direct_) {
    const storage::DirectVolume& volume = direct.volume;
    const auto attach = [&]() -> Result<DirectDisk> {
      const bool read_only = std::ranges::find(volume.options, "ro") != volume.options.end();
      AttachedDisk attached = KATA_TRY(AttachDisk(machine, volume.device, read_only));
      DirectDisk disk;
      disk.disk_id = std::move(attached.id);
      disk.storage.set_driver(attached.driver);
      disk.storage.set_source(attached.address);
      disk.storage.set_fstype(volume.fs_type);
      for (const std::string& word : volume.options) disk.storage.add_options(word);
      disk.storage.set_mount_point(fmt::format("{}/{}", kDirectFolder, disk.disk_id));
      if (volume.group) {
        disk.storage.mutable_fs_group()->set_group_id(*volume.group);
        disk.storage.mutable_fs_group()->set_group_change_policy(
            volume.only_on_mismatch ? types::OnRootMismatch : types::Always);
      }
      if (auto noted = storage::DirectVolumes().AddUser(direct.source, machine.sandbox_id());
          !noted) {
        log::Warn("direct-volume stats will not find it", {{"error", noted.error().message()}});
      }
      return disk;
    };
    const agent::Storage storage =
        KATA_TRY_WITHIN(fmt::format("direct volume \"{}\"", direct.source),
                        machine.direct_disks().Use(container_id_, direct.source, attach));
    request_.mutable_oci()->mutable_mounts(direct.mount)->set_source(storage.mount_point());
    const auto same = [&](const agent::Storage& other) {
      return other.mount_point() == storage.mount_point();
    };
    // Each container counts once in the guest.
    if (std::ranges::none_of(request_.storages(), same)) *request_.add_storages() = storage;
  }
  return {};
}

void GuestContainer::RemoveDirect(Machine& machine, bool keep_disks) const {
  for (const DirectDisks::Free& free : machine.direct_disks().Release(container_id_)) {
    storage::DirectVolumes().RemoveUser(free.source, machine.sandbox_id());
    if (free.disk_id.empty() || keep_disks || !machine.alive()) continue;
    DetachDisk(machine, free.disk_id);
  }
}

Result<void> GuestContainer::ShareDataDisks(Machine& machine, const Error& reason) {
  DataDiskMounts mounts(machine, container_id_, mount_namespace_, request_.mutable_oci());
  KATA_TRY(mounts.ShareInstead(std::exchange(data_disks_, {})));
  auto& storages = *request_.mutable_storages();
  storages.erase(std::remove_if(storages.begin(), storages.end(), IsDataDisk), storages.end());
  machine.FollowMounts();
  log::Warn("no disks for data: overlays cannot be mounted there",
            {{"container", container_id_}, {"reason", reason.message()}});
  return {};
}

Result<void> GuestContainer::AskAgent(Machine& machine, std::chrono::milliseconds timeout) {
  const auto agent = machine.agent();
  auto created = agent->CreateContainer(request_, timeout);
  if (created || data_disks_.empty() || !IsOfDataDisk(created.error())) return created;
  KATA_TRY_WITHIN(created.error().message(), ShareDataDisks(machine, created.error()));
  return agent->CreateContainer(request_, timeout);
}

Result<void> GuestContainer::Create(Machine& machine, std::chrono::milliseconds timeout) {
  const auto ask = [&](const agent::CreateContainerRequest&) {
    auto created = AskAgent(machine, timeout);
    created_ = created.has_value();
    return created;
  };
  const auto share_instead = [&](const Error& why) -> Result<void> {
    KATA_TRY(layered_root_->GiveUp(why));
    StaysShared(why);
    return {};
  };
  KATA_TRY(layered_request_.Create(request_, ask, share_instead));
  if (!layered_request_.in_use()) return {};
  LogIfFailed(machine.WithShare(
      [&](storage::SharedDirectory& share) { return share.HideRootfs(container_id_); }));
  return {};
}

Result<void> GuestContainer::Deliver(Machine& machine) {
  KATA_TRY(DeliverRoot(machine));
  for (const MountedDataDisk& each : data_disks_) *request_.add_storages() = each.storage;
  for (const GuestDisk& disk : disks_) {
    const AttachedDisk attached = KATA_TRY(Attach(machine, disk.source, disk.read_only));
    agent::Device& in_guest = *request_.add_devices();
    in_guest.set_type(attached.driver);
    in_guest.set_id(attached.address);
    in_guest.set_container_path(disk.container_path);
  }
  KATA_TRY(DeliverDirect(machine));
  KATA_TRY(machine.follower().Deliver(container_id_, CopiesIn(machine.agent())));
  for (const VolumeCopy& copy : std::exchange(copies_, {})) {
    KATA_TRY(machine.guest()->CopyOnce(copy));
  }
  return {};
}

void GuestContainer::Remove(Machine& machine, bool keep_disks) {
  RemoveFrom(machine.agent().get(), machine, keep_disks);
}

void GuestContainer::RemoveFrom(agent::AgentClient* agent, Machine& machine, bool keep_disks) {
  for (const std::string& id : std::exchange(disk_ids_, {})) {
    if (keep_disks || !machine.alive()) break;
    DetachDisk(machine, id);
  }
  RemoveDirect(machine, keep_disks);
  RemoveLayers(machine, keep_disks);
  machine.follower().Forget(container_id_);
  SettleUpperDisk();
  if (!machine.shares_files()) return;
  const auto gone =
      machine.WithShare([&](storage::SharedDirectory& share) -> Result<std::vector<std::string>> {
        return share.RemoveContainer(container_id_);
      });
  if (!gone) return log::Warn("unmount", {{"error", gone.error().message()}});
  machine.FollowMounts();
  // With its machine the guest forgets all.
  if (agent != nullptr && !keep_disks && machine.alive()) agent->ForgetPathsAsync(*gone);
}

}  // namespace kata::sandbox
