// SPDX-License-Identifier: Apache-2.0
#include "host/plan/data_disks.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "sys/root_dir.h"

namespace kata::sandbox {
namespace {

constexpr const char* kImageName = "kata-disk.ext4";
constexpr const char* kGuestDirectory = "/run/kata-containers/disks/";
constexpr const char* kDriver = "loop";

bool MayMount(const oci::Spec& spec) {
  return std::ranges::find(spec.process().capabilities().bounding(), "CAP_SYS_ADMIN") !=
         spec.process().capabilities().bounding().end();
}

// What is mounted in another way than as it is cannot be a disk of the guest's.
bool IsPlain(const SharedVolume& volume) {
  return !volume.overlay && !volume.ids &&
         std::ranges::find(volume.options, "ro") == volume.options.end();
}

// The daemons that keep what they have in a directory.
struct Keeper {
  std::string_view directory;
  std::string_view program;
};
constexpr Keeper kKeepers[] = {
    {"/var/lib/docker", "dockerd"},    {"/var/lib/containerd", "containerd"},
    {"/var/lib/containers", "podman"}, {"/var/lib/containers", "buildah"},
    {"/var/lib/containers", "crio"},   {"/var/lib/buildkit", "buildkitd"},
    {"/var/lib/rancher/k3s", "k3s"},
};
constexpr std::string_view kProgramDirectories[] = {
    "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"};

bool HasKeeper(const std::string& directory, const DataRoot& root) {
  return std::ranges::any_of(kKeepers, [&](const Keeper& keeper) {
    if (keeper.directory != directory) return false;
    return std::ranges::any_of(kProgramDirectories, [&](std::string_view programs) {
      return root.look(fmt::format("{}/{}", programs, keeper.program)) !=
             storage::RootPlace::kNothing;
    });
  });
}

bool IsWithin(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

bool HasMountAround(const oci::Spec& spec, const std::string& directory) {
  return std::ranges::any_of(spec.mounts(), [&](const oci::Mount& mount) {
    const std::string destination = sys::CleanPath(mount.destination());
    return IsWithin(destination, directory) || IsWithin(directory, destination);
  });
}

// "/var/lib/docker" is "kata-disk-var-lib-docker.ext4".
std::string ImageNameOf(std::string directory) {
  std::ranges::replace(directory, '/', '-');
  return fmt::format("kata-disk{}.ext4", directory);
}

bool IsListed(const SharedVolume& volume, const config::StringList& directories) {
  return std::ranges::any_of(directories, [&](const std::string& directory) {
    return sys::CleanPath(directory) == sys::CleanPath(volume.destination);
  });
}

}  // namespace

Result<std::vector<DataDisk>> PlanDataDisks(const oci::Spec& spec,
                                            const config::RuntimeConfig& config,
                                            const LookForImage& look,
                                            std::vector<SharedVolume>* volumes) {
  std::vector<DataDisk> disks;
  if (!MayMount(spec)) return disks;
  std::vector<SharedVolume> shared;
  for (SharedVolume& volume : *volumes) {
    storage::DataImage image{.directory = volume.source, .name = kImageName};
    auto content = storage::DataContent::kFiles;
    if (IsPlain(volume) && IsListed(volume, config.data_disks)) {
      content = look(image).value_or(storage::DataContent::kFiles);
    }
    switch (content) {
      case storage::DataContent::kFiles:
        shared.push_back(std::move(volume));
        break;
      case storage::DataContent::kImageAndFiles:
        return Fail(
            Code::kFailedPrecondition,
            fmt::format("mount \"{}\": \"{}\" is its disk, and there are files beside it that "
                        "it would hide: move them, or the disk, elsewhere",
                        volume.destination, image.Path()));
      case storage::DataContent::kNothing:
      case storage::DataContent::kImage:
        disks.push_back(
            {std::move(image), std::move(volume), content == storage::DataContent::kNothing});
    }
  }
  *volumes = std::move(shared);
  return disks;
}

Result<std::vector<DataDisk>> PlanRootDataDisks(const oci::Spec& spec,
                                                const config::RuntimeConfig& config,
                                                const LookForImage& look, const DataRoot& root) {
  std::vector<DataDisk> disks;
  if (!MayMount(spec) || spec.root().readonly()) return disks;
  for (const std::string& listed : config.data_disks) {
    const std::string directory = sys::CleanPath(listed);
    const bool within = std::ranges::any_of(
        disks, [&](const DataDisk& disk) { return IsWithin(directory, disk.volume.destination); });
    if (directory == "/" || within || HasMountAround(spec, directory)) continue;
    storage::DataImage image{.directory = root.beside, .name = ImageNameOf(directory)};
    const auto content = look(image);
    if (!content) continue;
    const bool exists = *content == storage::DataContent::kImage ||
                        *content == storage::DataContent::kImageAndFiles;
    const storage::RootPlace place = root.look(directory);
    if (exists && place == storage::RootPlace::kOther) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("\"{}\" has files that its disk \"{}\" would hide: move them, or the "
                              "disk, elsewhere",
                              directory, image.Path()));
    }
    const bool wanted = exists || place == storage::RootPlace::kEmptyDirectory ||
                        (place == storage::RootPlace::kNothing && HasKeeper(directory, root));
    if (!wanted) continue;
    SharedVolume nowhere{.mount = -1, .source = "", .destination = directory, .options = {}};
    disks.push_back({std::move(image), std::move(nowhere), !exists});
  }
  return disks;
}

bool RunsSystemd(const oci::Spec& spec) {
  if (spec.process().args().empty()) return false;
  const std::string& program = spec.process().args(0);
  // Names that distributions have for it. "/init" is another's.
  return program == "/sbin/init" || program == "/usr/sbin/init" ||
         program.substr(program.rfind('/') + 1) == "systemd";
}

agent::Storage DataDiskStorage(const std::string& path) {
  agent::Storage storage;
  storage.set_driver(kDriver);
  storage.set_source(path);
  storage.set_fstype("ext4");
  // Deleted files are holes on the host; no inode tables are written that are holes already; and
  // where the host has no more room, nothing is pretended.
  for (const char* option : {"discard", "noinit_itable", "errors=remount-ro"}) {
    storage.add_options(option);
  }
  storage.set_mount_point(fmt::format("{}{}", kGuestDirectory, path.substr(path.rfind('/') + 1)));
  return storage;
}

bool IsDataDisk(const agent::Storage& storage) {
  return storage.mount_point().starts_with(kGuestDirectory);
}

// Our agent names the driver and the mount point.
bool IsOfDataDisk(const Error& error) {
  return error.message().find(fmt::format("storage {} on \"{}", kDriver, kGuestDirectory)) !=
         std::string::npos;
}

}  // namespace kata::sandbox
