// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/block_device.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include <fmt/format.h>

#include "sys/files.h"

// As macros they would take the place of members with these names in sources compiled together.
#undef major
#undef minor

namespace kata::guest {
namespace {

constexpr unsigned kMaxSlot = 0x1f;
constexpr unsigned kMaxFunction = 7;
constexpr size_t kMaxDepth = 32;
constexpr unsigned kFirstExpanderBus = 0x20;

bool ParseNumber(std::string_view text, int base, unsigned* number) {
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, *number, base);
  return !text.empty() && status == std::errc() && stop == end;
}

std::vector<std::string> List(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  }
  std::ranges::sort(names);
  return names;
}

// The disk whose sysfs directory is `directory`/`name`.
std::optional<BlockDevice> ReadDisk(const std::string& directory, const std::string& name) {
  const auto text = sys::ReadFile(fmt::format("{}/{}/dev", directory, name), 64);
  if (!text) return std::nullopt;
  const std::string_view numbers = std::string_view(*text).substr(0, text->find('\n'));
  const size_t colon = numbers.find(':');
  BlockDevice disk{.path = "/dev/" + name};
  if (colon == std::string_view::npos ||
      !ParseNumber(numbers.substr(0, colon), 10, &disk.major_number) ||
      !ParseNumber(numbers.substr(colon + 1), 10, &disk.minor_number)) {
    return std::nullopt;
  }
  return disk;
}

std::optional<BlockDevice> FirstDisk(const std::string& directory) {
  for (const std::string& name : List(directory)) {
    if (auto disk = ReadDisk(directory, name)) return disk;
  }
  return std::nullopt;
}

// Below a PCI function: virtio<n>/block/<disk>, or nvme/nvme<n>/nvme<n>n<m>.
std::optional<BlockDevice> DiskOfFunction(const std::string& function) {
  for (const std::string& name : List(function)) {
    if (name.starts_with("virtio")) {
      if (auto disk = FirstDisk(fmt::format("{}/{}/block", function, name))) return disk;
    }
  }
  for (const std::string& name : List(function + "/nvme")) {
    if (auto disk = FirstDisk(fmt::format("{}/nvme/{}", function, name))) return disk;
  }
  return std::nullopt;
}

// The child "<domain>:<bus>:<slot>.<function>" of `bridge`, whatever its bus is called.
std::optional<std::string> ChildFunction(const std::string& bridge, const PciSlot& slot) {
  const std::string wanted = fmt::format(":{:02x}.{:x}", slot.slot, slot.function);
  for (const std::string& name : List(bridge)) {
    if (name.size() == std::string_view("0000:00:00.0").size() && name[4] == ':' &&
        name.ends_with(wanted)) {
      return fmt::format("{}/{}", bridge, name);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<PciPath> ParsePciPath(std::string_view text) {
  const auto refuse = [text] {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is not a PCI path", text));
  };
  PciPath path;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view segment = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t dot = segment.find('.');
    const std::string_view number = segment.substr(0, dot);
    PciSlot slot;
    if (number.size() != 2 || !ParseNumber(number, 16, &slot.slot)) return refuse();
    if (dot != std::string_view::npos &&
        (segment.size() != dot + 2 || !ParseNumber(segment.substr(dot + 1), 16, &slot.function))) {
      return refuse();
    }
    if (slot.function > kMaxFunction || path.slots.size() == kMaxDepth) return refuse();
    path.slots.push_back(slot);
  }
  if (path.slots.size() >= 3 && path.slots[0].slot >= kFirstExpanderBus) {
    path.root_bus = path.slots[0].slot;
    path.slots.erase(path.slots.begin());
  }
  if (std::ranges::any_of(path.slots, [](const PciSlot& s) { return s.slot > kMaxSlot; })) {
    return refuse();
  }
  return path;
}

Result<ScsiAddress> ParseScsiAddress(std::string_view text) {
  const size_t colon = text.find(':');
  ScsiAddress address;
  if (colon == std::string_view::npos || !ParseNumber(text.substr(0, colon), 10, &address.target) ||
      !ParseNumber(text.substr(colon + 1), 10, &address.lun)) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is not a SCSI address", text));
  }
  return address;
}

std::optional<BlockDevice> FindPciDisk(const PciPath& path, const std::string& sysfs) {
  std::string function = fmt::format("{}/devices/pci0000:{:02x}", sysfs, path.root_bus);
  for (const PciSlot& slot : path.slots) {
    auto child = ChildFunction(function, slot);
    if (!child) return std::nullopt;
    function = *std::move(child);
  }
  return DiskOfFunction(function);
}

std::optional<BlockDevice> FindScsiDisk(const ScsiAddress& address, const std::string& sysfs) {
  const std::string devices = sysfs + "/class/scsi_device";
  const std::string wanted = fmt::format(":0:{}:{}", address.target, address.lun);
  for (const std::string& name : List(devices)) {
    if (!name.ends_with(wanted)) continue;
    if (auto disk = FirstDisk(fmt::format("{}/{}/device/block", devices, name))) return disk;
  }
  return std::nullopt;
}

std::optional<BlockDevice> FindNode(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return std::nullopt;
  return BlockDevice{path, gnu_dev_major(status.st_rdev), gnu_dev_minor(status.st_rdev)};
}

void ScanScsi(const ScsiAddress& address, const std::string& sysfs) {
  const std::string hosts = sysfs + "/class/scsi_host";
  const std::string request = fmt::format("0 {} {}", address.target, address.lun);
  for (const std::string& host : List(hosts)) {
    // A host that is no virtio-scsi controller refuses; the disk is not there then.
    (void)sys::WriteControl(fmt::format("{}/{}/scan", hosts, host), request);
  }
}

}  // namespace kata::guest
