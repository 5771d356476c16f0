// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include <fmt/format.h>

#include "base/rollback.h"
#include "guest/agent/storage/block_device.h"
#include "guest/agent/storage/loop.h"
#include "guest/agent/storage/overlay.h"
#include "guest/agent/storage/ownership.h"
#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

constexpr std::string_view kStorageDrivers[] = {
    "9p",      "bind",   "blk",          "ephemeral", "local",     kLoopDriver,
    "mmioblk", "nvdimm", kOverlayDriver, "scsi",      "virtio-fs",
};
constexpr std::string_view kDeviceDrivers[] = {"blk", "mmioblk", "nvdimm", "scsi"};

bool Knows(std::span<const std::string_view> drivers, std::string_view driver) {
  return std::ranges::find(drivers, driver) != drivers.end();
}

// The disk that `driver` names by `address`; empty while it is not there.
Result<std::optional<BlockDevice>> FindDisk(std::string_view driver, const std::string& address) {
  // A disk that was there when the guest started may be named by its node.
  if (address.starts_with("/dev/")) return FindNode(address);
  if (driver == "blk") return FindPciDisk(KATA_TRY(ParsePciPath(address)));
  if (driver == "scsi") return FindScsiDisk(KATA_TRY(ParseScsiAddress(address)));
  return Fail(Code::kInvalidArgument,
              fmt::format("{}: \"{}\" is not the path of a device node", driver, address));
}

// A disk is in sysfs a moment before it has a node and can be opened, and is announced after that.
bool CanBeOpened(const BlockDevice& disk) {
  const sys::UniqueFd fd(::open(disk.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  return fd || (errno != ENXIO && errno != ENOENT);
}

Result<bool> DiskIsReady(std::string_view driver, const std::string& address) {
  auto disk = KATA_TRY(FindDisk(driver, address));
  if (!disk && driver == "scsi" && !address.starts_with("/dev/")) {
    const ScsiAddress scsi = KATA_TRY(ParseScsiAddress(address));
    ScanScsi(scsi);
    disk = FindScsiDisk(scsi);
  }
  return disk && CanBeOpened(*disk);
}

// Kernels before 6.9 do not show tags; there the mount finds out.
bool ShareIsReady(const std::string& tag) {
  constexpr const char* kShares = "/sys/fs/virtiofs";
  const std::unique_ptr<DIR, int (*)(DIR*)> shares(::opendir(kShares), ::closedir);
  if (!shares) return true;
  while (const dirent* share = ::readdir(shares.get())) {
    const auto found = sys::ReadFile(fmt::format("{}/{}/tag", kShares, share->d_name), 64);
    if (found && *found == tag + "\n") return true;
  }
  return false;
}

const std::string& AddressOf(const agent::Device& device) {
  const bool by_node = device.type() == "mmioblk" || device.type() == "nvdimm";
  return by_node || device.id().empty() ? device.vm_path() : device.id();
}

// Options that are ours and not the kernel's.
struct OwnOptions {
  sys::MountOptions mount;
  std::optional<gid_t> group;  // "fsgid="
  std::optional<mode_t> mode;  // "mode=" of local
};

Result<OwnOptions> ParseOptions(const agent::Storage& storage) {
  OwnOptions options;
  const auto number = [](std::string_view text, int base) -> Result<unsigned> {
    unsigned value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, status] = std::from_chars(text.data(), end, value, base);
    if (text.empty() || status != std::errc() || stop != end) {
      return Fail(Code::kInvalidArgument, fmt::format("option value \"{}\" is not a number", text));
    }
    return value;
  };
  for (const std::string& word : storage.options()) {
    if (word.starts_with("fsgid=")) {
      options.group = KATA_TRY(number(std::string_view(word).substr(6), 10));
    } else if (storage.driver() == "local" && word.starts_with("mode=")) {
      options.mode = KATA_TRY(number(std::string_view(word).substr(5), 8)) & 07777;
    } else {
      options.mount.Add(word);
    }
  }
  return options;
}

Result<void> CheckMountPoint(const std::string& path) {
  const bool up = path.find("/../") != std::string::npos || path.ends_with("/..");
  if (!path.starts_with('/') || path == "/" || up) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is not a mount point", path));
  }
  return {};
}

// "/a/b" for "/a/b/": the same mount point must be the same text.
std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

Result<void> GiveToGroup(const std::string& path, gid_t group) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return FailErrno("stat", path);
  if (::chown(path.c_str(), static_cast<uid_t>(-1), group) != 0) return FailErrno("chown", path);
  if (::chmod(path.c_str(), (status.st_mode & 07777) | S_ISGID) != 0) {
    return FailErrno("chmod", path);
  }
  return {};
}

// The kernel hands out huge pages only when they were set aside before.
Result<void> ReserveHugePages(const agent::Storage& storage) {
  uint64_t page = 0;
  uint64_t size = 0;
  for (const std::string& word : storage.options()) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    const std::string_view key = std::string_view(word).substr(0, equals);
    uint64_t* const value = key == "pagesize" ? &page : key == "size" ? &size : nullptr;
    if (value != nullptr) std::from_chars(&word[equals + 1], word.data() + word.size(), *value);
  }
  if (page < 1024 || size == 0) {
    return Fail(Code::kInvalidArgument, "hugetlbfs needs pagesize= and size= in bytes");
  }
  const std::string file =
      fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages", page / 1024);
  uint64_t present = 0;
  const std::string text = KATA_TRY(sys::ReadFile(file, 64));
  std::from_chars(text.data(), text.data() + text.size(), present);
  return sys::WriteControl(file, fmt::to_string(present + size / page));
}

Result<void> MountEphemeral(const agent::Storage& storage, const std::string& point) {
  const OwnOptions options = KATA_TRY(ParseOptions(storage));
  if (storage.fstype() == "hugetlbfs") KATA_TRY(ReserveHugePages(storage));
  KATA_TRY(sys::MakeDirs(point));
  KATA_TRY(sys::Mount(storage.source(), point, storage.fstype(), options.mount));
  if (options.group) KATA_TRY(GiveToGroup(point, *options.group));
  return {};
}

Result<void> MakeLocal(const agent::Storage& storage, const std::string& point) {
  const OwnOptions options = KATA_TRY(ParseOptions(storage));
  KATA_TRY(sys::MakeDirs(point));
  // Not through mkdir, whose mode loses what the umask forbids.
  if (::chmod(point.c_str(), options.mode.value_or(0777)) != 0) return FailErrno("chmod", point);
  if (options.group) KATA_TRY(GiveToGroup(point, *options.group));
  return {};
}

Result<void> MountBind(const agent::Storage& storage, const std::string& point) {
  struct stat status{};
  if (::stat(storage.source().c_str(), &status) != 0) return FailErrno("stat", storage.source());
  if (S_ISDIR(status.st_mode)) {
    KATA_TRY(sys::MakeDirs(point));
  } else {
    KATA_TRY(sys::MakeDirs(point.substr(0, std::max<size_t>(point.rfind('/'), 1))));
    KATA_TRY(sys::Open(point, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0644));
  }
  return sys::BindMount(storage.source(), point, sys::ParseMountOptions(storage.options()));
}

Result<void> MountDisk(const agent::Storage& storage, const std::string& point) {
  if (storage.driver_options_size() > 0) {
    return Fail(Code::kUnimplemented,
                fmt::format("driver option \"{}\"", storage.driver_options(0)));
  }
  const auto disk = KATA_TRY(FindDisk(storage.driver(), storage.source()));
  if (!disk) {
    return Fail(Code::kNotFound, fmt::format("no disk at \"{}\"", storage.source()));
  }
  KATA_TRY(sys::MakeDirs(point));
  return sys::Mount(disk->path, point, storage.fstype(), sys::ParseMountOptions(storage.options()));
}

Result<void> MountShare(const agent::Storage& storage, const std::string& point) {
  KATA_TRY(sys::MakeDirs(point));
  return sys::Mount(storage.source(), point, storage.driver() == "9p" ? "9p" : "virtiofs",
                    sys::ParseMountOptions(storage.options()));
}

Result<void> MountOne(const agent::Storage& storage, const std::string& point) {
  const std::string& driver = storage.driver();
  if (driver == "virtio-fs" || driver == "9p") return MountShare(storage, point);
  if (driver == "ephemeral") return MountEphemeral(storage, point);
  if (driver == "local") return MakeLocal(storage, point);
  if (driver == kOverlayDriver) return MountOverlay(storage, point);
  if (driver == kLoopDriver) return MountLoop(storage, point);
  if (driver == "bind") return MountBind(storage, point);
  return MountDisk(storage, point);
}

// Nothing can be changed on what cannot be written.
bool WantsGroup(const agent::Storage& storage) {
  return storage.has_fs_group() && !sys::ParseMountOptions(storage.options()).read_only();
}

// What a container's mounts still hold is unmounted in the kernel's own time, and the machine may
// have ended before: the host's file has everything from here on.
void WriteBack(const std::string& point) {
  const sys::UniqueFd top(::open(point.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct statfs system{};
  if (top && ::fstatfs(top.get(), &system) == 0 && system.f_type == EXT4_SUPER_MAGIC) {
    (void)::syncfs(top.get());
  }
}

Result<void> Undo(const std::string& point, bool local) {
  if (local) return sys::RemoveTree(point);
  WriteBack(point);
  KATA_TRY(sys::Unmount(point, MNT_DETACH | UMOUNT_NOFOLLOW));
  // Only what was made for it: a directory with content stays.
  if (::rmdir(point.c_str()) != 0 && errno == ENOTDIR) (void)sys::RemoveFile(point);
  return {};
}

}  // namespace

std::vector<std::string_view> StorageDrivers() {
  std::vector<std::string_view> drivers(std::begin(kStorageDrivers), std::end(kStorageDrivers));
  if (!HasLoopDriver()) std::erase(drivers, kLoopDriver);
  if (!HasOverlayDriver()) std::erase(drivers, kOverlayDriver);
  if (OverlayKeepsLinks()) drivers.push_back(kOverlayLinks);
  return drivers;
}
std::span<const std::string_view> DeviceDrivers() { return kDeviceDrivers; }

Result<bool> StorageIsReady(const agent::Storage& storage) {
  const std::string& driver = storage.driver();
  if (!Knows(kStorageDrivers, driver)) {
    return Fail(Code::kInvalidArgument, fmt::format("unknown storage driver \"{}\"", driver));
  }
  if (driver == "virtio-fs") return ShareIsReady(storage.source());
  if (!Knows(kDeviceDrivers, driver)) return true;
  return KATA_TRY_WITHIN("storage", DiskIsReady(driver, storage.source()));
}

Result<bool> DeviceIsReady(const agent::Device& device) {
  if (!Knows(kDeviceDrivers, device.type())) {
    return Fail(Code::kInvalidArgument, fmt::format("unknown device type \"{}\"", device.type()));
  }
  return KATA_TRY_WITHIN("device", DiskIsReady(device.type(), AddressOf(device)));
}

namespace {

// Limits on the disk that the container knows as `path`.
void SetNumbersOfLimits(const std::string& path, const BlockDevice& disk, oci::LinuxBlockIO* io) {
  const auto set = [&](auto* entries) {
    for (auto& entry : *entries) {
      if (entry.path() != path) continue;
      entry.set_major(disk.major_number);
      entry.set_minor(disk.minor_number);
    }
  };
  set(io->mutable_weight_device());
  set(io->mutable_throttle_read_bps_device());
  set(io->mutable_throttle_write_bps_device());
  set(io->mutable_throttle_read_iops_device());
  set(io->mutable_throttle_write_iops_device());
}

}  // namespace

Result<void> AddDevice(const agent::Device& device, oci::Spec* spec) {
  const auto disk = KATA_TRY_WITHIN("device", FindDisk(device.type(), AddressOf(device)));
  if (!disk) {
    return Fail(Code::kNotFound, fmt::format("device: no disk at \"{}\"", AddressOf(device)));
  }
  oci::Linux* const linux_part = spec->mutable_linux();
  auto* const rules = linux_part->mutable_resources()->mutable_devices();
  if (linux_part->resources().has_block_io()) {
    SetNumbersOfLimits(device.container_path(), *disk,
                       linux_part->mutable_resources()->mutable_block_io());
  }
  for (oci::LinuxDevice& known : *linux_part->mutable_devices()) {
    if (known.path() != device.container_path()) continue;
    // What the host allowed under its own numbers is meant for this disk.
    for (oci::LinuxDeviceCgroup& rule : *rules) {
      if (rule.major() != known.major() || rule.minor() != known.minor()) continue;
      rule.set_type("b");
      rule.set_major(disk->major_number);
      rule.set_minor(disk->minor_number);
    }
    known.set_type("b");
    known.set_major(disk->major_number);
    known.set_minor(disk->minor_number);
    return {};
  }
  oci::LinuxDevice* const added = linux_part->add_devices();
  added->set_path(device.container_path());
  added->set_type("b");
  added->set_major(disk->major_number);
  added->set_minor(disk->minor_number);
  added->set_file_mode(0660);
  // Without any rule the spec's devices are allowed anyhow.
  if (rules->empty()) return {};
  oci::LinuxDeviceCgroup* const rule = rules->Add();
  rule->set_allow(true);
  rule->set_type("b");
  rule->set_major(disk->major_number);
  rule->set_minor(disk->minor_number);
  rule->set_access("rwm");
  return {};
}

Result<StorageTable::Mounted> StorageTable::Mount(std::span<const agent::Storage* const> storages) {
  Mounted made;
  Rollback undo;
  for (const agent::Storage* storage : storages) {
    const std::string point = WithoutSlash(storage->mount_point());
    const auto context = [&] {
      return fmt::format("storage {} on \"{}\"", storage->driver(), point);
    };
    KATA_TRY(CheckMountPoint(point));
    const auto entry = std::ranges::find(entries_, point, &Entry::mount_point);
    const bool mounted = entry != entries_.end();
    if (mounted) {
      ++entry->users;
      entry->shared |= storage->shared();
    } else {
      auto upper = KATA_TRY_WITHIN(context(), UpperDiskOf(*storage));
      KATA_TRY_WITHIN(context(), MountOne(*storage, point));
      entries_.push_back(
          {point, 1, storage->shared(), storage->driver() == "local", std::move(upper)});
    }
    undo.Add([this, point] { (void)Release(std::span(&point, 1)); });
    if (!mounted && WantsGroup(*storage)) {
      made.groups.push_back({.mount_point = point,
                             .group = storage->fs_group().group_id(),
                             .only_on_mismatch = storage->fs_group().group_change_policy() ==
                                                 types::FSGroupChangePolicy::OnRootMismatch});
    }
    made.points.push_back(point);
  }
  undo.Release();
  return made;
}

Result<void> StorageTable::GiveToGroups(std::span<const GroupWish> wishes) {
  for (const GroupWish& wish : wishes) {
    KATA_TRY_WITHIN(fmt::format("storage on \"{}\"", wish.mount_point),
                    ChangeGroup(wish.mount_point, wish.group, wish.only_on_mismatch));
  }
  return {};
}

Result<void> StorageTable::Release(std::span<const std::string> mount_points) {
  Result<void> outcome;
  for (size_t i = mount_points.size(); i-- > 0;) {
    const auto entry = std::ranges::find(entries_, mount_points[i], &Entry::mount_point);
    if (entry == entries_.end() || entry->users == 0) continue;
    if (--entry->users > 0 || entry->shared) continue;
    auto undone = Undo(entry->mount_point, entry->local);
    if (!undone && outcome) outcome = std::move(undone);
    entries_.erase(entry);
  }
  return outcome;
}

Result<void> StorageTable::ReleaseAll() {
  Result<void> outcome;
  while (!entries_.empty()) {
    const Entry entry = std::move(entries_.back());
    entries_.pop_back();
    auto undone = Undo(entry.mount_point, entry.local);
    if (!undone && outcome) outcome = std::move(undone);
  }
  return outcome;
}

std::vector<UpperDisk> StorageTable::UpperDisksOf(std::span<const std::string> mount_points) const {
  std::vector<UpperDisk> disks;
  for (const Entry& entry : entries_) {
    const bool asked = std::ranges::find(mount_points, entry.mount_point) != mount_points.end();
    if (asked && entry.upper) disks.push_back(*entry.upper);
  }
  return disks;
}

Result<void> StorageTable::CheckMounted(const std::string& mount_point) const {
  const std::string point = WithoutSlash(mount_point);
  const auto entry = std::ranges::find(entries_, point, &Entry::mount_point);
  if (entry != entries_.end() && !entry->local) return {};
  return Fail(Code::kNotFound, fmt::format("no storage is mounted on \"{}\"", point));
}

Result<void> StorageTable::Reconfigure(const std::string& mount_point) {
  sys::FsContext context = KATA_TRY(sys::FsContext::Pick(WithoutSlash(mount_point)));
  return context.Reconfigure();
}

Result<void> StorageTable::RemountEphemeral(const agent::Storage& storage) {
  const std::string point = WithoutSlash(storage.mount_point());
  KATA_TRY(CheckMountPoint(point));
  return MountEphemeral(storage, point);
}

}  // namespace kata::guest
