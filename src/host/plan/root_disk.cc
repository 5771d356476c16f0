// SPDX-License-Identifier: Apache-2.0
#include "host/plan/root_disk.h"

#include <algorithm>

#include <fmt/format.h>

namespace kata::sandbox {
namespace {

bool IsDisk(const storage::RootfsMount& mount, SourceKind kind) {
  if (!storage::IsDiskType(mount.type)) return false;
  if (kind == SourceKind::kBlockDevice) return true;
  return kind == SourceKind::kFile && std::ranges::any_of(mount.options, storage::IsLoop);
}

}  // namespace

std::string GuestRootOf(const std::string& container_id) {
  return fmt::format("/run/kata-containers/rootfs/{}", container_id);
}

std::optional<RootDisk> PlanRootDisk(
    const std::vector<storage::RootfsMount>& rootfs, const config::HypervisorConfig& config,
    const std::function<SourceKind(const std::string&)>& classify) {
  const bool shares = config.shares_files();
  if (rootfs.size() == 1 && !(shares && config.disable_block_device_use) &&
      IsDisk(rootfs[0], classify(rootfs[0].source))) {
    RootDisk disk{.source = rootfs[0].source, .type = rootfs[0].type};
    for (const std::string& option : rootfs[0].options) {
      if (option == "ro") disk.read_only = true;
      if (!storage::IsLoop(option)) disk.options.push_back(option);
    }
    return disk;
  }
  return std::nullopt;
}

std::unexpected<Error> RefuseToShareRoot(const Error& reason) {
  return Fail(Code::kFailedPrecondition,
              fmt::format("root file system: with shared_fs = \"none\" it has to be a disk (ext4, "
                          "erofs, squashfs) or an overlay of which disks can be made, and {}; use "
                          "another snapshotter or storage driver, or shared_fs = \"virtio-fs\"",
                          reason.message()));
}

}  // namespace kata::sandbox
