// SPDX-License-Identifier: Apache-2.0
//
// The root file system of a container: shared, layers, or disks.
#include <fcntl.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/machine/guest_container.h"
#include "host/plan/guest_mounts.h"
#include "sys/mounts.h"

namespace kata::sandbox {
namespace {

// What a root is that is one disk, in words.
constexpr const char* kDiskRoot = "disk";

std::vector<storage::MountPoint> MountPointsOf(const oci::Spec& spec,
                                               const std::vector<SharedVolume>& volumes,
                                               int mount_namespace) {
  std::vector<storage::MountPoint> points;
  for (const oci::Mount& mount : spec.mounts()) points.push_back({mount.destination()});
  for (const SharedVolume& volume : volumes) {
    const SourceKind kind = volume.overlay ? SourceKind::kDirectory
                                           : LookAtSourceIn(mount_namespace, volume.source).kind;
    points[static_cast<size_t>(volume.mount)].file = kind != SourceKind::kDirectory;
  }
  // Made when it is missing, which the guest cannot do in a read-only root.
  points.push_back({spec.process().cwd()});
  return points;
}

// A tmpfs has the mode of the directory below it. One that was made for it says nothing.
void GiveNewOnesTheirMode(const std::vector<storage::MountPoint>& points, oci::Spec* spec) {
  for (int i = 0; i < spec->mounts_size(); ++i) {
    oci::Mount& mount = *spec->mutable_mounts(i);
    // An earlier option: one of the specification wins.
    if (!points[static_cast<size_t>(i)].made || mount.type() != "tmpfs") continue;
    auto& options = *mount.mutable_options();
    *options.Add() = "mode=1777";
    std::rotate(options.begin(), options.end() - 1, options.end());
  }
}

// A mount of its own of what is mounted there: the caller can take his away.
Result<sys::UniqueFd> OpenView(const std::string& directory, int mount_namespace) {
  sys::UniqueFd view;
  const auto open = [&]() -> Result<void> {
    view = KATA_TRY(sys::CloneMount(AT_FDCWD, directory, false));
    return {};
  };
  KATA_TRY(mount_namespace < 0 ? open() : sys::RunInMountNamespace(mount_namespace, open));
  return view;
}

}  // namespace

Result<void> GuestContainer::PlanRoot(Machine& machine,
                                      const std::vector<storage::RootfsMount>& rootfs,
                                      const std::string& bundle, const GuestPlan& plan) {
  root_disk_ = PlanRootDisk(rootfs, machine.config()->hypervisor);
  if (!root_disk_ && machine.shares_files()) return ShareRootfs(machine, rootfs, bundle, plan);
  if (!root_disk_) {
    KATA_TRY(PlanDisks(
        machine, {.mounts = rootfs, .directory = DirectoryOf(request_.oci().root(), bundle)}));
  }
  request_.mutable_oci()->mutable_root()->set_path(GuestRootOf(container_id_));
  return {};
}

// The guest holds what is read-only, once all is mounted: so runc does.
Result<void> GuestContainer::PlanDisks(Machine& machine, const RootSource& source) {
  auto overlay = PlanRootLayers(source, [this](const std::string& directory) {
    return storage::FindOverlay(directory, mount_namespace_);
  });
  if (!overlay) return RefuseToShareRoot(overlay.error());
  if (overlay->read_only) request_.mutable_oci()->mutable_root()->set_readonly(true);
  sys::UniqueFd view;
  if (source.mounts.empty()) view = KATA_TRY(OpenView(source.directory, mount_namespace_));
  root_on_disks_ = RootOnDisks::Begin(machine, container_id_, *std::move(overlay), std::move(view));
  return {};
}

Result<void> GuestContainer::ShareRootfs(Machine& machine,
                                         const std::vector<storage::RootfsMount>& rootfs,
                                         const std::string& bundle, const GuestPlan& plan) {
  auto mount_points = MountPointsOf(request_.oci(), plan.volumes, mount_namespace_);
  oci::Root& root = *request_.mutable_oci()->mutable_root();
  const std::string directory = DirectoryOf(root, bundle);
  const auto mounts = KATA_TRY(machine.WithShare(
      [&](storage::SharedDirectory& share) { return share.AddImages(container_id_, rootfs); }));
  root.set_path(KATA_TRY(machine.WithShare([&](storage::SharedDirectory& share) {
    return share.AddRootfs(container_id_, mounts, directory, root.readonly(), &mount_points,
                           mount_namespace_);
  })));
  GiveNewOnesTheirMode(mount_points, request_.mutable_oci());
  const storage::RootUse use = PlanRootUse(request_.oci(), plan.host_hooks);
  KATA_TRY(machine.WithShare([&](storage::SharedDirectory& share) {
    return storage::CheckRoot(share.RootfsOf(container_id_), use);
  }));
  root_words_ = "shared";
  return PlanLayers(machine,
                    {.mounts = mounts, .directory = directory, .read_only = root.readonly()});
}

// What the caller has mounted is looked for where he is.
Result<void> GuestContainer::PlanLayers(Machine& machine, const RootSource& source) {
  auto overlay = PlanRootLayers(source, [this](const std::string& directory) {
    return storage::FindOverlay(directory, mount_namespace_);
  });
  if (!machine.config()->runtime.rootfs_layers) {
    if (!overlay) return {};
    return LayeredRoot::CheckNothingIsKept(
        *overlay, Error(Code::kFailedPrecondition, "rootfs_layers is off"));
  }
  if (overlay) {
    layered_root_ = LayeredRoot::Begin(machine, container_id_, *std::move(overlay),
                                       DirectoriesInUse(request_.oci()));
  } else {
    StaysShared(overlay.error());
  }
  return {};
}

void GuestContainer::StaysShared(const Error& reason) {
  root_words_ = fmt::format("shared, because {}", reason.message());
  log::Info("the root file system is shared",
            {{"container", container_id_}, {"reason", reason.message()}});
}

Result<void> GuestContainer::DeliverRoot(Machine& machine) {
  if (layered_root_) KATA_TRY(DeliverLayers(machine));
  if (root_on_disks_) KATA_TRY(DeliverDisks(machine));
  if (!root_disk_) return {};
  root_words_ = root_disk_->read_only ? "a read-only disk" : kDiskRoot;
  const AttachedDisk disk = KATA_TRY_WITHIN(
      "root file system", Attach(machine, root_disk_->source, root_disk_->read_only));
  if (!root_disk_->read_only) root_disk_id_ = disk.id;
  agent::Storage& root = *request_.add_storages();
  root.set_driver(disk.driver);
  root.set_source(disk.address);
  root.set_fstype(root_disk_->type);
  for (const std::string& option : root_disk_->options) root.add_options(option);
  root.set_mount_point(GuestRootOf(container_id_));
  return {};
}

// Where layers cannot be had the root is what it was planned as: shared.
Result<void> GuestContainer::DeliverLayers(Machine& machine) {
  const std::string root = GuestRootOf(container_id_);
  const auto attach = [&](sys::UniqueFd file) { return Attach(machine, std::move(file)); };
  const auto overlay = layered_root_->Share(machine, root, attach);
  if (!overlay) {
    KATA_TRY(layered_root_->GiveUp(overlay.error()));
    StaysShared(overlay.error());
    return {};
  }
  layered_request_.UseLayers(request_, PlanOverlayStorages(*overlay, root), root);
  root_words_ = layered_root_->description();
  if (overlay->disk) holds_writes_ = true;
  if (!overlay->disk || layered_root_->disk()) return {};
  // Two kernels must not have it at a time: from here on there is no way back to the shared root.
  layered_request_.Settle();
  return machine.WithShare([&](storage::SharedDirectory& share) -> Result<void> {
    KATA_TRY(share.HideRootfs(container_id_));
    return share.GiveUpperImage(container_id_);
  });
}

Result<void> GuestContainer::DeliverDisks(Machine& machine) {
  const auto attach = [&](sys::UniqueFd file) { return Attach(machine, std::move(file)); };
  const GuestOverlay overlay =
      KATA_TRY_WITHIN("root file system", root_on_disks_->Deliver(machine, attach));
  for (agent::Storage& storage : PlanOverlayStorages(overlay, GuestRootOf(container_id_))) {
    *request_.add_storages() = std::move(storage);
  }
  root_words_ = root_on_disks_->description();
  holds_writes_ = overlay.disk.has_value();
  return {};
}

Result<void> GuestContainer::RestoreDisk(Machine& machine, const RestoreSource& source,
                                         Images* disks) {
  const auto disk = PlanRootDisk(source.rootfs, machine.config()->hypervisor);
  if (!disk || disk->read_only) {
    return Fail(
        Code::kFailedPrecondition,
        "a container is restored to a disk that can be written; use the snapshotter that it "
        "had");
  }
  sys::UniqueFd file = KATA_TRY(OpenDisk(disk->source, false));
  KATA_TRY(source.snapshot->WriteDisk(source.root_disk, file.get()));
  disks->emplace(source.root_disk, std::move(file));
  root_words_ = kDiskRoot;
  return {};
}

Result<void> GuestContainer::RestoreDisks(const RestoreSource& source, Images* disks) {
  auto overlay = PlanRootLayers({.mounts = source.rootfs, .directory = source.directory},
                                [&](const std::string& directory) {
                                  return storage::FindOverlay(directory, source.mount_namespace);
                                });
  if (!overlay || overlay->upper.empty()) {
    return Fail(
        Code::kFailedPrecondition,
        fmt::format("a container is restored to an overlay that can be written, as it had{}",
                    overlay ? "" : "; " + overlay.error().message()));
  }
  sys::UniqueFd view;
  if (source.rootfs.empty()) {
    view = KATA_TRY(OpenView(source.directory, source.mount_namespace));
  }
  root_on_disks_ = KATA_TRY(RootOnDisks::Restore(container_id_, *overlay, std::move(view),
                                                 *source.snapshot, source.root_disk, disks));
  root_words_ = root_on_disks_->description();
  holds_writes_ = true;
  return {};
}

void GuestContainer::RemoveLayers(Machine& machine, bool keep_disks) const {
  for (const DirectDisks::Free& free : machine.layer_disks().Release(container_id_)) {
    if (free.disk_id.empty() || keep_disks || !machine.alive()) continue;
    DetachDisk(machine, free.disk_id);
  }
}

std::function<void()> GuestContainer::on_files_back() const {
  if (root_on_disks_) return root_on_disks_->on_files_back();
  return layered_root_ ? layered_root_->on_files_back() : std::function<void()>();
}

void GuestContainer::SettleUpperDisk() {
  if (root_on_disks_) root_on_disks_->Settle(created_, removed_by_guest_);
  if (!layered_root_) return;
  layered_root_->End();
  if (!layered_root_->disk()) return;
  if (removed_by_guest_) {
    if (const auto back = layered_root_->on_files_back()) back();
    log::Info("the container's files were brought back", {{"container", container_id_}});
  }
  layered_root_->disk()->Settle(container_id_, created_, removed_by_guest_);
}

std::vector<std::string> GuestContainer::missing_layers() const {
  return layered_root_ ? layered_root_->missing() : std::vector<std::string>();
}

}  // namespace kata::sandbox
