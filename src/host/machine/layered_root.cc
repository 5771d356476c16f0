// SPDX-License-Identifier: Apache-2.0
#include "host/machine/layered_root.h"

#include <fcntl.h>

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/byte_size.h"
#include "host/machine/machine.h"
#include "host/storage/copy_up.h"
#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/mounts.h"

namespace kata::sandbox {
namespace {

// For a start that has nothing else to do any more. Before that there is no limit: where many begin
// at once, all of it takes longer.
constexpr auto kLookTime = std::chrono::seconds(3);

Result<void> LookAnew(const sys::UniqueFd& root) {
  auto mount = KATA_TRY(sys::FsContext::Pick(sys::DescriptorPath(root.get())));
  return mount.Reconfigure();
}

// The disk that an upper directory is to be on, open; none: it is shared. One with files that were
// not brought back is gone on with whatever the configuration says.
Result<std::optional<UpperDiskFile>> OpenUpperDisk(const std::string& upper,
                                                   const config::RuntimeConfig& config) {
  UpperDiskFile disk(upper);
  if (config.rootfs_upper != "disk" && !disk.exists()) return std::nullopt;
  const uint64_t size = KATA_TRY(config::ParseByteSize(config.rootfs_upper_size));
  const auto opened = disk.Open(size);
  if (opened) return disk;
  if (disk.taken_over()) return std::unexpected(opened.error());
  log::Warn("no disk for what the container writes: it is shared",
            {{"path", disk.path()}, {"reason", opened.error().message()}});
  return std::nullopt;
}

}  // namespace

LayeredRoot LayeredRoot::Begin(Machine& machine, const std::string& container_id,
                               storage::OverlayTable overlay, std::vector<std::string> in_use) {
  LayeredRoot root;
  root.in_use_ = std::move(in_use);
  root.container_id_ = container_id;
  root.scratch_ = fmt::format("{}/layers-{}", machine.directory(), container_id);
  const bool to_directory = WritesToDirectory(machine, container_id, overlay).value_or(false);
  root.found_ = std::async(
      std::launch::async,
      [layers = overlay.lowers, config = machine.config(), scratch = root.scratch_,
       upper = to_directory ? overlay.upper : std::string(),
       stop = root.stop_.get_token()]() -> Result<Found> {
        Found found{.images = KATA_TRY(FindLayerImages(layers, config->factory, scratch, stop)),
                    .disk = {}};
        if (!found.images.missing.empty() || upper.empty()) return found;
        found.disk = KATA_TRY(OpenUpperDisk(upper, config->runtime));
        return found;
      });
  root.overlay_ = std::move(overlay);
  return root;
}

Result<GuestOverlay> LayeredRoot::Share(Machine& machine, const std::string& mount_point,
                                        const Attach& attach) {
  if (found_.wait_for(kLookTime) != std::future_status::ready) stop_.request_stop();
  auto found = found_.get();
  auto shared = [&]() -> Result<GuestOverlay> {
    if (!found && found.error().code() == Code::kCancelled) {
      return Fail(Code::kDeadlineExceeded, "its layers were not looked at in time");
    }
    if (!found) return std::unexpected(std::move(found).error());
    disk_ = std::move(found->disk);
    // No images are made for a guest that cannot use them.
    const auto drivers = KATA_TRY(machine.agent()->StorageDrivers());
    const bool to_directory = KATA_TRY(WritesToDirectory(machine, container_id_, overlay_));
    // A disk is made when all images are there.
    const bool on_disk = disk_ || (!found->images.missing.empty() &&
                                   machine.config()->runtime.rootfs_upper == "disk");
    KATA_TRY(CheckDrivers(drivers, to_directory && !on_disk));
    missing_ = std::move(found->images.missing);
    if (!missing_.empty()) {
      return Fail(Code::kNotFound, fmt::format("images of {} of its {} layers are still to be made",
                                               missing_.size(), found->images.images.size()));
    }
    GuestOverlay overlay = KATA_TRY(AddToShare(machine, std::move(found->images), attach));
    // Of an upper directory in an image nothing is mounted here any more.
    if (!overlay.upper.empty() && (disk_ || !overlay.disk)) KATA_TRY(OpenView(machine));
    if (!overlay.upper.empty() && !overlay.disk) KATA_TRY(Watch(machine, mount_point));
    return overlay;
  }();
  // Those that are shared live on.
  LogIfFailed(sys::RemoveTree(scratch_));
  return shared;
}

// Whether what the container writes is in a directory of the host's, not in an image.
Result<bool> LayeredRoot::WritesToDirectory(Machine& machine, const std::string& container_id,
                                            const storage::OverlayTable& overlay) {
  if (overlay.upper.empty() || overlay.read_only) return false;
  return machine.WithShare([&](storage::SharedDirectory& share) -> Result<bool> {
    return !share.UpperImageOf(container_id).has_value();
  });
}

Result<GuestOverlay> LayeredRoot::AddToShare(Machine& machine, LayerImages found,
                                             const Attach& attach) {
  GuestOverlay overlay;
  for (const LayerImages::Image& image : found.images) {
    overlay.layers.push_back(
        {.key = image.key,
         .driver = "loop",
         .source = KATA_TRY(machine.WithShare([&](storage::SharedDirectory& share) {
           return share.AddLayer(container_id_, image.key, image.fd.get());
         }))});
  }
  if (!overlay_.upper.empty()) KATA_TRY(AddUpper(machine, overlay));
  if (disk_) KATA_TRY_WITHIN(fmt::format("disk \"{}\"", disk_->path()), PutOnDisk(overlay, attach));
  description_ = DescribeLayers(overlay.layers.size(), found.made_here, overlay);
  return overlay;
}

Result<void> LayeredRoot::AddUpper(Machine& machine, GuestOverlay& overlay) {
  return machine.WithShare([&](storage::SharedDirectory& share) -> Result<void> {
    if (const auto on_image = share.UpperImageOf(container_id_)) {
      const auto& [image, directories] = *on_image;
      sys::UniqueFd file = KATA_TRY(sys::Open(image.path, O_RDWR));
      GuestOverlay::Disk disk{
          .driver = "loop",
          .source = KATA_TRY(share.AddDataImage(container_id_, std::move(file))),
          .type = image.type,
          .options = image.options,
          .mount_point = GuestUpperOf(container_id_)};
      overlay.upper = disk.mount_point + directories.upper;
      overlay.work = disk.mount_point + directories.work;
      overlay.disk = std::move(disk);
      return {};
    }
    const auto upper = KATA_TRY(
        share.AddUpper(container_id_, {overlay_.upper, overlay_.work}, overlay_.read_only));
    KATA_TRY(machine.record().SetUppers(share.UpperTraces()));
    overlay.upper = upper.upper;
    overlay.work = upper.work;
    return {};
  });
}

Result<void> LayeredRoot::PutOnDisk(GuestOverlay& overlay, const Attach& attach) {
  if (disk_->taken_over()) {
    log::Warn("a disk with files that were not brought back is taken over",
              {{"container", container_id_}, {"path", disk_->path()}});
  }
  AttachedDisk attached = KATA_TRY(attach(disk_->TakeFile()));
  overlay.upper_of = overlay.upper;
  PutUpperOn(std::move(attached.driver), std::move(attached.address), container_id_, &overlay);
  return {};
}

void LayeredRoot::End() {
  watch_.reset();
  if (!found_.valid()) return;
  stop_.request_stop();
  const auto found = found_.get();
  LogIfFailed(sys::RemoveTree(scratch_));
  if (found && found->disk && !found->disk->taken_over()) LogIfFailed(found->disk->Remove());
}

Result<void> LayeredRoot::GiveUp(const Error& reason) {
  watch_.reset();
  const auto disk = std::exchange(disk_, std::nullopt);
  if (disk && !disk->taken_over()) return disk->Remove();
  return CheckNothingIsKept(overlay_, reason);
}

Result<void> LayeredRoot::CheckNothingIsKept(const storage::OverlayTable& overlay,
                                             const Error& reason) {
  if (overlay.upper.empty() || overlay.read_only) return {};
  const UpperDiskFile disk(overlay.upper);
  if (!disk.exists()) return {};
  return Fail(
      Code::kFailedPrecondition,
      fmt::format("{}; but the container's files are on the disk \"{}\": make that otherwise "
                  "(kata-runtime layers build makes images, e2fsck repairs the disk), or remove it "
                  "to begin with the files that were brought back",
                  reason.message(), disk.path()));
}

std::function<void()> LayeredRoot::on_files_back() const {
  if (!disk_) return {};
  return [view = view_] { LogIfFailed(LookAnew(*view)); };
}

// The front end's overlay is that of our own view: one file system, wherever it is mounted.
Result<void> LayeredRoot::OpenView(Machine& machine) {
  const std::string view =
      KATA_TRY(machine.WithShare([&](storage::SharedDirectory& share) -> Result<std::string> {
        return share.RootfsOf(container_id_);
      }));
  // The guest's overlay is to have them from the beginning: it does not look into the directory
  // that a disk is brought back to.
  if (!overlay_.read_only && !disk_) KATA_TRY(storage::CopyUpDirectories(view, in_use_));
  view_ = std::make_shared<sys::UniqueFd>(KATA_TRY(sys::Open(view, O_PATH | O_DIRECTORY)));
  return {};
}

Result<void> LayeredRoot::Watch(Machine& machine, const std::string& mount_point) {
  sys::UniqueFd upper = KATA_TRY(sys::Open(overlay_.upper, O_RDONLY | O_DIRECTORY));
  storage::UpperReaders readers{
      .guest_wrote = [view = view_] { LogIfFailed(LookAnew(*view)); },
      .host_wrote = [agent = machine.agent(),
                     mount_point] { agent->ReconfigureMountAsync(mount_point); }};
  watch_ = KATA_TRY(machine.upper_watches().Add(
      std::move(upper), machine.guest()->processes().virtiofsd_pid(), std::move(readers)));
  return {};
}

}  // namespace kata::sandbox
