// SPDX-License-Identifier: Apache-2.0
#include "host/machine/root_on_disks.h"

#include <fcntl.h>

#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/byte_size.h"
#include "host/factory/layer_build.h"
#include "host/factory/layer_store.h"
#include "host/machine/machine.h"
#include "host/plan/root_disk.h"
#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/mounts.h"

namespace kata::sandbox {
namespace {

// Brings what the guest has left to the host's layer, and has the front end look anew.
Result<void> TakeBack(storage::UpperExchange& exchange, const sys::UniqueFd& view) {
  const std::string told = KATA_TRY(exchange.Take());
  if (told.empty()) return {};
  log::Info("the container's files were brought back", {{"files", told}});
  if (!view) return {};
  auto mount = KATA_TRY(sys::FsContext::Pick(sys::DescriptorPath(view.get())));
  return mount.Reconfigure();
}

}  // namespace

RootOnDisks RootOnDisks::Begin(Machine& machine, const std::string& container_id,
                               storage::OverlayTable overlay, sys::UniqueFd view) {
  RootOnDisks root;
  root.container_id_ = container_id;
  root.scratch_ = fmt::format("{}/layers-{}", machine.directory(), container_id);
  root.view_ = std::make_shared<sys::UniqueFd>(std::move(view));
  root.found_ =
      std::async(std::launch::async,
                 [overlay = std::move(overlay), config = machine.config(), scratch = root.scratch_,
                  stop = root.stop_.get_token()]() -> Result<Found> {
                   auto images = FindOrMake(overlay.lowers, config->factory, scratch, stop);
                   if (!images) return RefuseToShareRoot(images.error());
                   Found found{.images = *std::move(images), .disk = {}, .exchange = {}};
                   if (!overlay.upper.empty())
                     KATA_TRY(OpenUpper(overlay, config->runtime, &found));
                   return found;
                 });
  return root;
}

Result<LayerImages> RootOnDisks::FindOrMake(const std::vector<std::string>& layers,
                                            const config::FactoryConfig& config,
                                            const std::string& scratch,
                                            const std::stop_token& stop) {
  auto found = KATA_TRY(FindLayerImages(layers, config, scratch, stop));
  if (found.missing.empty()) return found;
  const factory::LayerStore store(config.layers_path, config.layer_cache_size_mb);
  for (const std::string& layer : found.missing) {
    if (stop.stop_requested()) return Fail(Code::kCancelled, "nobody wants the images any more");
    KATA_TRY(factory::BuildLayer(store, layer, [](std::string_view progress) {
      log::Info("a container waits for an image of a layer", {{"step", std::string(progress)}});
    }));
  }
  found = KATA_TRY(FindLayerImages(layers, config, scratch, stop));
  if (found.missing.empty()) return found;
  return Fail(
      Code::kResourceExhausted,
      fmt::format("images of {} of its {} layers are removed as soon as they are made; make "
                  "layer_cache_size_mb larger",
                  found.missing.size(), layers.size()));
}

Result<void> RootOnDisks::OpenUpper(const storage::OverlayTable& overlay,
                                    const config::RuntimeConfig& config, Found* found) {
  UpperDiskFile disk(overlay.upper);
  const uint64_t size = KATA_TRY(config::ParseByteSize(config.rootfs_upper_size));
  const auto open = [&]() -> Result<void> {
    KATA_TRY(disk.Open(size));
    found->exchange = std::make_shared<storage::UpperExchange>(
        KATA_TRY(storage::UpperExchange::Open(disk.file(), overlay.upper)));
    return found->exchange->Give();
  };
  if (auto opened = open(); !opened) {
    if (!disk.taken_over()) LogIfFailed(disk.Remove());
    return std::unexpected(opened.error().Within(
        fmt::format("disk \"{}\" for what the container writes", disk.path())));
  }
  if (disk.taken_over()) {
    log::Warn("a disk with files that were not brought back is taken over",
              {{"path", disk.path()}});
  }
  found->disk = std::move(disk);
  return {};
}

Result<RootOnDisks> RootOnDisks::Restore(const std::string& container_id,
                                         const storage::OverlayTable& overlay, sys::UniqueFd view,
                                         const snapshot::Snapshot& snapshot,
                                         const std::string& upper_device, Images* disks) {
  RootOnDisks root;
  root.container_id_ = container_id;
  root.upper_device_ = upper_device;
  root.view_ = std::make_shared<sys::UniqueFd>(std::move(view));
  *root.layers_ = KATA_TRY(snapshot.Layers());
  *disks = KATA_TRY(snapshot.Layers());
  root.description_ = "disks of " + DescribeLayers(root.layers_->size(), 0,
                                                   {.disk = GuestOverlay::Disk(), .upper = "/"});
  UpperDiskFile& disk = root.disk_.emplace(overlay.upper);
  const auto make = [&]() -> Result<void> {
    const uint64_t size = KATA_TRY(snapshot.SizeOfDisk(upper_device));
    KATA_TRY(disk.MakeAnew(size));
    KATA_TRY(storage::ClaimDisk(disk.file(), false));
    KATA_TRY(snapshot.WriteDisk(upper_device, disk.file()));
    root.exchange_ = std::make_shared<storage::UpperExchange>(
        KATA_TRY(storage::UpperExchange::Open(disk.file(), overlay.upper)));
    return root.exchange_->Forget();
  };
  if (auto made = make(); !made) {
    LogIfFailed(disk.Remove());
    return std::unexpected(made.error().Within(fmt::format("disk \"{}\"", disk.path())));
  }
  disks->emplace(upper_device, disk.TakeFile());
  return root;
}

Result<GuestOverlay> RootOnDisks::Deliver(Machine& machine, const Attach& attach) {
  auto found = found_.get();
  LogIfFailed(sys::RemoveTree(scratch_));
  if (!found) return std::unexpected(std::move(found).error());
  disk_ = std::move(found->disk);
  exchange_ = std::move(found->exchange);
  const auto drivers = KATA_TRY(machine.agent()->StorageDrivers());
  KATA_TRY(CheckDrivers(drivers, false));
  GuestOverlay overlay;
  KATA_TRY(AttachLayers(machine, std::move(found->images.images), &overlay));
  if (disk_) {
    AttachedDisk attached =
        KATA_TRY_WITHIN(fmt::format("disk \"{}\"", disk_->path()), attach(disk_->TakeFile()));
    upper_device_ = attached.id;
    PutUpperOn(std::move(attached.driver), std::move(attached.address), container_id_, &overlay);
    overlay.upper_at = exchange_->words();
  }
  description_ =
      "disks of " + DescribeLayers(overlay.layers.size(), found->images.made_here, overlay);
  return overlay;
}

Result<void> RootOnDisks::AttachLayers(Machine& machine, std::vector<LayerImages::Image> images,
                                       GuestOverlay* overlay) {
  for (LayerImages::Image& image : images) {
    sys::UniqueFd kept = KATA_TRY(sys::Duplicate(image.fd.get()));
    const auto attach_image = [&]() -> Result<DirectDisk> {
      AttachedDisk attached = KATA_TRY(AttachDisk(machine, std::move(image.fd), true));
      DirectDisk disk{.disk_id = std::move(attached.id), .storage = {}};
      disk.storage.set_driver(attached.driver);
      disk.storage.set_source(attached.address);
      return disk;
    };
    const agent::Storage storage =
        KATA_TRY_WITHIN(fmt::format("image {} of a layer", image.key),
                        machine.layer_disks().Use(container_id_, image.key, attach_image));
    overlay->layers.push_back(
        {.key = image.key, .driver = storage.driver(), .source = storage.source()});
    layers_->emplace(KATA_TRY(machine.layer_disks().Find(image.key)).disk_id, std::move(kept));
  }
  return {};
}

std::function<void()> RootOnDisks::on_files_back() const {
  if (!exchange_) return {};
  return [exchange = exchange_, view = view_] { LogIfFailed(TakeBack(*exchange, *view)); };
}

void RootOnDisks::Settle(bool created, bool removed) {
  if (found_.valid()) {
    stop_.request_stop();
    auto found = found_.get();
    LogIfFailed(sys::RemoveTree(scratch_));
    if (found) disk_ = std::move(found->disk);
  }
  if (!disk_) return;
  if (created && removed) {
    const auto back = TakeBack(*exchange_, *view_);
    LogIfFailed(back);
    removed = back.has_value();
  }
  disk_->Settle(container_id_, created, removed);
}

}  // namespace kata::sandbox
