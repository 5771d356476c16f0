// SPDX-License-Identifier: Apache-2.0
#include "host/plan/root_layers.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "sys/root_dir.h"

namespace kata::sandbox {
namespace {

// Where disks with upper directories are mounted in the guest.
constexpr std::string_view kUppers = "/run/kata-containers/uppers/";

constexpr std::array<std::string_view, 2> kDrivers = {"loop", "overlayfs"};
constexpr std::string_view kKeepsLinks = "overlayfs-links";

// What the host's overlay leaves in an upper directory, no more: with "uuid" and "index" kernels
// write names of their own there, "xino" makes inode numbers that old programs cannot read, and
// what "redirect_dir" and "metacopy" write is not what Docker and containerd copy.
constexpr std::array<std::string_view, 5> kOptions = {"index=off", "uuid=null", "xino=off",
                                                      "redirect_dir=off", "metacopy=off"};

Result<storage::OverlayTable> FromMounts(const std::vector<storage::RootfsMount>& mounts) {
  if (mounts.size() != 1) {
    return Fail(Code::kUnimplemented, fmt::format("{} mounts make it", mounts.size()));
  }
  if (mounts[0].type != "overlay") {
    return Fail(Code::kUnimplemented, fmt::format("it is of type {}", mounts[0].type));
  }
  return storage::ResolveOverlay(
      KATA_TRY(storage::ParseOverlayOptions(mounts[0].options, storage::ReadOverlayDefaults())));
}

std::string MountPointOf(const GuestOverlay::Layer& layer) {
  return fmt::format("/run/kata-containers/layers/{}", layer.key);
}

agent::Storage DiskStorage(const GuestOverlay::Disk& disk) {
  agent::Storage storage;
  storage.set_driver(disk.driver);
  storage.set_source(disk.source);
  storage.set_fstype(disk.type);
  for (const std::string& option : disk.options) storage.add_options(option);
  storage.set_mount_point(disk.mount_point);
  return storage;
}

// The agent makes both directories.
void CopyUpperFrom(const GuestOverlay& overlay, agent::Storage& root) {
  root.add_driver_options("io.katacontainers.volume.overlayfs.create_directory=" + overlay.work);
  root.add_driver_options(overlay.upper_at.empty()
                              ? "io.katacontainers.kata-cpp.upper_of=" + overlay.upper_of
                              : "io.katacontainers.kata-cpp.upper_at=" + overlay.upper_at);
}

}  // namespace

Result<storage::OverlayTable> PlanRootLayers(const RootSource& root, const FindOverlay& find) {
  storage::OverlayTable table =
      KATA_TRY(root.mounts.empty() ? find(root.directory) : FromMounts(root.mounts));
  if (table.lowers.size() > kMostLayers) {
    return Fail(Code::kUnimplemented,
                fmt::format("it has {} layers, more than {}", table.lowers.size(), kMostLayers));
  }
  table.read_only |= root.read_only;
  return table;
}

std::vector<std::string> DirectoriesInUse(const oci::Spec& spec) {
  std::vector<std::string> mounts;
  for (const oci::Mount& mount : spec.mounts())
    mounts.push_back(sys::CleanPath(mount.destination()));
  const auto covered = [&](const std::string& path) {
    return std::ranges::any_of(mounts, [&](const std::string& mount) {
      return path == mount || path.starts_with(mount + "/");
    });
  };
  std::vector<std::string> directories;
  const auto add = [&](const std::string& path) {
    if (path.size() <= 1 || covered(path)) return;
    if (std::ranges::find(directories, path) == directories.end()) directories.push_back(path);
  };
  for (const std::string& mount : mounts) add(mount.substr(0, mount.rfind('/')));
  add(sys::CleanPath(spec.process().cwd()));
  return directories;
}

std::string GuestUpperOf(const std::string& container_id) {
  return std::string(kUppers) + container_id;
}

void PutUpperOn(std::string driver, std::string address, const std::string& container_id,
                GuestOverlay* overlay) {
  overlay->disk = {.driver = std::move(driver),
                   .source = std::move(address),
                   .type = "ext4",
                   .options = {"discard", "noinit_itable", "errors=remount-ro"},
                   .mount_point = GuestUpperOf(container_id)};
  overlay->upper = overlay->disk->mount_point + "/upper";
  overlay->work = overlay->disk->mount_point + "/work";
}

Result<void> CheckDrivers(const std::vector<std::string>& drivers, bool upper_is_shared) {
  const auto has = [&](std::string_view name) {
    return std::ranges::find(drivers, name) != drivers.end();
  };
  for (const std::string_view wanted : kDrivers) {
    if (!has(wanted)) {
      return Fail(Code::kUnimplemented, fmt::format("the guest has no storage driver {}", wanted));
    }
  }
  if (upper_is_shared && !has(kKeepsLinks)) {
    return Fail(Code::kUnimplemented,
                "the guest's kernel loses files that have several names: kata-cpp's own does not");
  }
  return {};
}

std::vector<agent::Storage> PlanOverlayStorages(const GuestOverlay& overlay,
                                                const std::string& mount_point) {
  std::vector<agent::Storage> storages;
  agent::Storage root;
  root.set_driver("overlayfs");
  root.set_source("overlay");
  root.set_fstype("overlay");
  root.set_mount_point(mount_point);
  if (!overlay.upper.empty() && overlay.work.empty()) {
    // Of a directory that is a mount of the share an overlay would take what is below that.
    root.add_options(fmt::format("lowerdir+={}/.", overlay.upper));
  }
  for (const GuestOverlay::Layer& layer : overlay.layers) {
    agent::Storage& image = storages.emplace_back();
    image.set_driver(layer.driver);
    image.set_source(layer.source);
    image.set_fstype("erofs");
    image.add_options("ro");
    image.set_mount_point(MountPointOf(layer));
    root.add_options("lowerdir+=" + MountPointOf(layer));
  }
  if (overlay.disk) storages.push_back(DiskStorage(*overlay.disk));
  if (!overlay.work.empty()) {
    root.add_options("upperdir=" + overlay.upper);
    root.add_options("workdir=" + overlay.work);
    if (!overlay.upper_of.empty() || !overlay.upper_at.empty()) CopyUpperFrom(overlay, root);
  } else {
    root.add_options("ro");
  }
  for (const std::string_view option : kOptions) root.add_options(std::string(option));
  storages.push_back(std::move(root));
  return storages;
}

// Our agent names the driver and the place.
bool IsOfOverlay(const Error& error) {
  const auto names = [&](std::string_view words) { return error.message().contains(words); };
  return names(fmt::format(" on \"{}", kUppers)) ||
         std::ranges::any_of(kDrivers, [&](std::string_view driver) {
           return names(fmt::format("storage {} on", driver));
         });
}

std::string DescribeLayers(size_t images, size_t made_here, const GuestOverlay& overlay) {
  std::string text = fmt::format("layers ({} image{}", images, images == 1 ? "" : "s");
  if (made_here > 0) text += fmt::format(", {} made here", made_here);
  text += ")";
  if (!overlay.upper.empty()) {
    text += overlay.disk           ? ", upper disk"
            : overlay.work.empty() ? ", upper shared and not written to"
                                   : ", upper shared";
  }
  return text;
}

}  // namespace kata::sandbox
