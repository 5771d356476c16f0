// SPDX-License-Identifier: Apache-2.0
#include "host/machine/layered_root.h"

#include <fcntl.h>

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
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

}  // namespace

LayeredRoot LayeredRoot::Begin(Machine& machine, const std::string& container_id,
                               storage::OverlayTable overlay, std::vector<std::string> in_use) {
  LayeredRoot root;
  root.in_use_ = std::move(in_use);
  root.container_id_ = container_id;
  root.scratch_ = fmt::format("{}/layers-{}", machine.directory(), container_id);
  root.images_ =
      std::async(std::launch::async, [layers = overlay.lowers, config = machine.config(),
                                      scratch = root.scratch_, stop = root.stop_.get_token()] {
        return FindLayerImages(layers, config->factory, scratch, stop);
      });
  root.overlay_ = std::move(overlay);
  return root;
}

Result<GuestOverlay> LayeredRoot::Share(Machine& machine, const std::string& mount_point) {
  if (images_.wait_for(kLookTime) != std::future_status::ready) stop_.request_stop();
  auto found = images_.get();
  auto shared = [&]() -> Result<GuestOverlay> {
    if (!found && found.error().code() == Code::kCancelled) {
      return Fail(Code::kDeadlineExceeded, "its layers were not looked at in time");
    }
    if (!found) return std::unexpected(std::move(found).error());
    // No images are made for a guest that cannot use them.
    const auto drivers = KATA_TRY(machine.agent()->StorageDrivers());
    const bool writes_to_share = KATA_TRY(WritesToShare(machine));
    KATA_TRY(CheckDrivers(drivers, writes_to_share));
    missing_ = std::move(found->missing);
    if (!missing_.empty()) {
      return Fail(Code::kNotFound, fmt::format("images of {} of its {} layers are still to be made",
                                               missing_.size(), found->images.size()));
    }
    GuestOverlay overlay = KATA_TRY(AddToShare(machine, *std::move(found)));
    if (!overlay.upper.empty() && !overlay.disk) KATA_TRY(Watch(machine, mount_point));
    return overlay;
  }();
  // Those that are shared live on.
  LogIfFailed(sys::RemoveTree(scratch_));
  return shared;
}

Result<bool> LayeredRoot::WritesToShare(Machine& machine) const {
  if (overlay_.upper.empty() || overlay_.read_only) return false;
  return machine.WithShare([&](storage::SharedDirectory& share) -> Result<bool> {
    return !share.UpperImageOf(container_id_).has_value();
  });
}

Result<GuestOverlay> LayeredRoot::AddToShare(Machine& machine, LayerImages found) {
  GuestOverlay overlay;
  for (const LayerImages::Image& image : found.images) {
    overlay.layers.push_back(
        {.key = image.key,
         .image = KATA_TRY(machine.WithShare([&](storage::SharedDirectory& share) {
           return share.AddLayer(container_id_, image.key, image.fd.get());
         }))});
  }
  if (!overlay_.upper.empty()) KATA_TRY(AddUpper(machine, overlay));
  description_ = DescribeLayers(overlay.layers.size(), found.made_here, overlay);
  return overlay;
}

// The front end's overlay is that of our own view: one file system, wherever it is mounted.
Result<void> LayeredRoot::AddUpper(Machine& machine, GuestOverlay& overlay) {
  return machine.WithShare([&](storage::SharedDirectory& share) -> Result<void> {
    if (const auto on_image = share.UpperImageOf(container_id_)) {
      const auto& [image, directories] = *on_image;
      sys::UniqueFd file = KATA_TRY(sys::Open(image.path, O_RDWR));
      GuestOverlay::Disk disk{.image = KATA_TRY(share.AddDataImage(container_id_, std::move(file))),
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

Result<void> LayeredRoot::Watch(Machine& machine, const std::string& mount_point) {
  const std::string view =
      KATA_TRY(machine.WithShare([&](storage::SharedDirectory& share) -> Result<std::string> {
        return share.RootfsOf(container_id_);
      }));
  if (!overlay_.read_only) KATA_TRY(storage::CopyUpDirectories(view, in_use_));
  const auto root =
      std::make_shared<sys::UniqueFd>(KATA_TRY(sys::Open(view, O_PATH | O_DIRECTORY)));
  sys::UniqueFd upper = KATA_TRY(sys::Open(overlay_.upper, O_RDONLY | O_DIRECTORY));
  storage::UpperReaders readers{
      .guest_wrote = [root] { LogIfFailed(LookAnew(*root)); },
      .host_wrote = [agent = machine.agent(),
                     mount_point] { agent->ReconfigureMountAsync(mount_point); }};
  watch_ = KATA_TRY(machine.upper_watches().Add(
      std::move(upper), machine.guest()->processes().virtiofsd_pid(), std::move(readers)));
  return {};
}

}  // namespace kata::sandbox
