// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/manifest.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <exception>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/factory/state_files.h"

namespace kata::snapshot {
namespace {

using factory::Extent;
using factory::IsInPlace;
using factory::kBlock;
using factory::kMaxMemoryMib;
using factory::MemoryImage;
using hypervisor::AcceleratorKind;
using hypervisor::DeviceShape;
using hypervisor::Disk;
using hypervisor::MachineShape;
using hypervisor::ModuleShape;
using nlohmann::json;

constexpr size_t kMaxId = 64;
constexpr size_t kIdBytes = 16;
constexpr size_t kMaxDevices = 512;
constexpr size_t kMaxModules = 256;
constexpr size_t kMaxContainers = 1024;
constexpr size_t kMaxText = 16 << 20;
constexpr uint64_t kMaxDisk = uint64_t{1} << 50;
constexpr int kMaxDepth = 100;  // of what is nested in each other

std::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Code::kDataLoss, fmt::format("the snapshot's manifest is damaged: {}", what));
}

json ToJson(const MemoryImage& image) {
  json extents = json::array();
  for (const Extent& extent : image.extents) {
    extents.push_back({extent.offset / kBlock, extent.length});
  }
  return {{"checksum", image.checksum}, {"extents", std::move(extents)}};
}

json ToJson(const DeviceShape& device) {
  json to{{"id", device.id}, {"plugged", device.plugged}};
  if (device.port) to["port"] = *device.port;
  if (device.lun) to["lun"] = *device.lun;
  if (device.kind == DeviceShape::Kind::kDisk) {
    to["disk"] = {{"scsi", device.bus == Disk::Bus::kScsi},
                  {"read_only", device.read_only},
                  {"direct_io", device.direct_io},
                  {"serial", device.serial}};
  } else {
    to["nic"] = {{"mac", device.mac}, {"queues", device.queues}, {"vhost", device.vhost}};
  }
  return to;
}

json ToJson(const MachineShape& machine) {
  json modules = json::array();
  for (const ModuleShape& module : machine.modules) {
    modules.push_back(
        {{"slot", module.slot}, {"address", module.address}, {"size_mib", module.size_mib}});
  }
  json devices = json::array();
  for (const DeviceShape& device : machine.devices) devices.push_back(ToJson(device));
  return {{"kvm", machine.accelerator == AcceleratorKind::kKvm},
          {"vsock", machine.vsock},
          {"boot_mib", machine.boot_mib},
          {"memory_slots", machine.memory_slots},
          {"max_mib", machine.max_mib},
          {"modules", std::move(modules)},
          {"boot_vcpus", machine.boot_vcpus},
          {"vcpus", machine.vcpus},
          {"max_vcpus", machine.max_vcpus},
          {"hotplug_ports", machine.hotplug_ports},
          {"free_page_reporting", machine.free_page_reporting},
          {"debug_console", machine.debug_console},
          {"devices", std::move(devices)}};
}

json ToJson(const Origin& origin) {
  return {{"vmm", origin.vmm},
          {"vmm_version", origin.vmm_version},
          {"machine", origin.machine},
          {"processor", origin.processor},
          {"host_kernel", origin.host_kernel},
          {"guest_kernel", origin.guest_kernel},
          {"guest_initrd", origin.guest_initrd},
          {"build", origin.build}};
}

// These throw where a value is missing or of another type.
template <std::unsigned_integral T>
T Number(const json& from) {
  // The library's own conversion takes any number for any other.
  if (!from.is_number_unsigned() || from.get<uint64_t>() > std::numeric_limits<T>::max()) {
    throw std::out_of_range("no number of this size");
  }
  return from.get<T>();
}

std::array<uint8_t, 6> MacFrom(const json& from) {
  std::array<uint8_t, 6> mac{};
  for (size_t i = 0; i < mac.size(); ++i) mac[i] = Number<uint8_t>(from.at(i));
  return mac;
}

MemoryImage ImageFrom(const json& from) {
  MemoryImage image;
  image.checksum = Number<uint64_t>(from.at("checksum"));
  for (const json& pair : from.at("extents")) {
    image.extents.push_back(
        {.offset = Number<uint64_t>(pair.at(0)) * kBlock, .length = Number<uint64_t>(pair.at(1))});
  }
  return image;
}

DeviceShape DeviceFrom(const json& from) {
  DeviceShape device;
  device.id = from.at("id").get<std::string>();
  device.plugged = from.at("plugged").get<bool>();
  if (from.contains("port")) device.port = Number<uint32_t>(from["port"]);
  if (from.contains("lun")) device.lun = Number<uint32_t>(from["lun"]);
  if (from.contains("disk")) {
    const json& disk = from["disk"];
    device.bus = disk.at("scsi").get<bool>() ? Disk::Bus::kScsi : Disk::Bus::kBlock;
    device.read_only = disk.at("read_only").get<bool>();
    device.direct_io = disk.at("direct_io").get<bool>();
    device.serial = disk.at("serial").get<std::string>();
  } else {
    const json& nic = from.at("nic");
    device.kind = DeviceShape::Kind::kNic;
    device.mac = MacFrom(nic.at("mac"));
    device.queues = Number<uint32_t>(nic.at("queues"));
    device.vhost = nic.at("vhost").get<bool>();
  }
  return device;
}

MachineShape MachineFrom(const json& from) {
  MachineShape machine;
  machine.accelerator = from.at("kvm").get<bool>() ? AcceleratorKind::kKvm : AcceleratorKind::kTcg;
  machine.vsock = from.at("vsock").get<bool>();
  machine.boot_mib = Number<uint32_t>(from.at("boot_mib"));
  machine.memory_slots = Number<uint32_t>(from.at("memory_slots"));
  machine.max_mib = Number<uint32_t>(from.at("max_mib"));
  for (const json& module : from.at("modules")) {
    machine.modules.push_back({.slot = Number<uint32_t>(module.at("slot")),
                               .address = Number<uint64_t>(module.at("address")),
                               .size_mib = Number<uint32_t>(module.at("size_mib"))});
  }
  machine.boot_vcpus = Number<uint32_t>(from.at("boot_vcpus"));
  machine.vcpus = Number<uint32_t>(from.at("vcpus"));
  machine.max_vcpus = Number<uint32_t>(from.at("max_vcpus"));
  machine.hotplug_ports = Number<uint32_t>(from.at("hotplug_ports"));
  machine.free_page_reporting = from.at("free_page_reporting").get<bool>();
  machine.debug_console = from.at("debug_console").get<bool>();
  for (const json& device : from.at("devices")) machine.devices.push_back(DeviceFrom(device));
  return machine;
}

Origin OriginFrom(const json& from) {
  return {.vmm = from.at("vmm").get<std::string>(),
          .vmm_version = from.at("vmm_version").get<std::string>(),
          .machine = from.at("machine").get<std::string>(),
          .processor = from.at("processor").get<std::string>(),
          .host_kernel = from.at("host_kernel").get<std::string>(),
          .guest_kernel = from.at("guest_kernel").get<std::string>(),
          .guest_initrd = from.at("guest_initrd").get<std::string>(),
          .build = from.at("build").get<std::string>()};
}

Manifest ManifestFrom(const json& from) {
  Manifest manifest;
  manifest.id = from.at("id").get<std::string>();
  manifest.created = static_cast<int64_t>(Number<uint64_t>(from.at("created")));
  manifest.sandbox_id = from.at("sandbox_id").get<std::string>();
  manifest.containers = from.at("containers").get<std::vector<std::string>>();
  manifest.origin = OriginFrom(from.at("origin"));
  manifest.machine = MachineFrom(from.at("machine"));
  manifest.state_bytes = Number<uint64_t>(from.at("state").at("bytes"));
  manifest.state_checksum = Number<uint64_t>(from.at("state").at("checksum"));
  for (const json& part : from.at("memory")) {
    manifest.memory.push_back(
        {.size_mib = Number<uint32_t>(part.at("size_mib")), .image = ImageFrom(part.at("image"))});
  }
  for (const json& disk : from.at("disks")) {
    manifest.disks.push_back({.id = disk.at("id").get<std::string>(),
                              .bytes = Number<uint64_t>(disk.at("bytes")),
                              .image = ImageFrom(disk.at("image"))});
  }
  if (from.contains("layers")) {
    for (const json& layer : from["layers"]) {
      manifest.layers.push_back(
          {.id = layer.at("id").get<std::string>(), .bytes = Number<uint64_t>(layer.at("bytes"))});
    }
  }
  manifest.shim = from.at("shim").get<std::string>();
  return manifest;
}

// That the files are those of the machine.
Result<void> CheckMemory(const Manifest& manifest) {
  const MachineShape& machine = manifest.machine;
  if (machine.modules.size() > kMaxModules ||
      manifest.memory.size() != machine.modules.size() + 1) {
    return Damaged("its memory is not the machine's");
  }
  for (size_t i = 0; i < manifest.memory.size(); ++i) {
    const uint32_t mib = i == 0 ? machine.boot_mib : machine.modules[i - 1].size_mib;
    const MemoryFile& file = manifest.memory[i];
    if (file.size_mib != mib || mib == 0 || mib > kMaxMemoryMib ||
        !IsInPlace(file.image, uint64_t{mib} << 20)) {
      return Damaged("its memory is not the machine's");
    }
  }
  return {};
}

Result<void> CheckDisks(const Manifest& manifest) {
  const std::vector<DeviceShape>& devices = manifest.machine.devices;
  if (devices.size() > kMaxDevices) return Damaged("too many devices");
  auto next = manifest.disks.begin();
  for (const DeviceShape& device : devices) {
    if (device.kind != DeviceShape::Kind::kDisk || device.read_only) continue;
    if (next == manifest.disks.end() || next->id != device.id || next->bytes > kMaxDisk ||
        !IsInPlace(next->image, next->bytes)) {
      return Damaged(fmt::format("the disk \"{}\" is not among its files", device.id));
    }
    ++next;
  }
  if (next != manifest.disks.end()) return Damaged("a disk that the machine does not have");
  return {};
}

Result<void> CheckLayers(const Manifest& manifest) {
  auto next = manifest.layers.begin();
  for (const DeviceShape& device : manifest.machine.devices) {
    if (next == manifest.layers.end()) break;
    const bool same = device.kind == DeviceShape::Kind::kDisk && device.read_only &&
                      device.id == next->id && next->bytes <= kMaxDisk;
    if (same) ++next;
  }
  if (next == manifest.layers.end()) return {};
  return Damaged("a layer that the machine does not have");
}

Result<void> Check(const Manifest& manifest) {
  if (!IsId(manifest.id)) return Damaged("its id");
  if (manifest.containers.size() > kMaxContainers || manifest.shim.size() > kMaxText) {
    return Damaged("sizes beyond all bounds");
  }
  if (manifest.state_bytes == 0 || manifest.state_bytes > factory::kMaxState)
    return Damaged("its state");
  const MachineShape& machine = manifest.machine;
  if (machine.boot_vcpus == 0 || machine.vcpus < machine.boot_vcpus ||
      machine.max_vcpus < machine.vcpus) {
    return Damaged("its processors");
  }
  KATA_TRY(CheckMemory(manifest));
  KATA_TRY(CheckDisks(manifest));
  return CheckLayers(manifest);
}

// Bounds what writing it out again, which recurses, is given.
Result<json> Read(std::string_view text) {
  bool too_deep = false;
  json read = json::parse(
      text,
      [&](int depth, json::parse_event_t, json&) {
        too_deep = too_deep || depth > kMaxDepth;
        return !too_deep;
      },
      false);
  if (too_deep) return Damaged("it is nested too deeply");
  return read;
}

}  // namespace

uint64_t Manifest::bytes() const {
  uint64_t sum = state_bytes;
  for (const MemoryFile& part : memory) sum += part.image.bytes();
  for (const DiskFile& disk : disks) sum += disk.image.bytes();
  return sum;
}

bool IsId(std::string_view text) {
  const auto is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= kMaxId && is_alphanumeric(text[0]) &&
         std::ranges::all_of(text,
                             [&](char c) { return is_alphanumeric(c) || c == '-' || c == '_'; });
}

std::string NewId() {
  std::array<uint8_t, kIdBytes> bytes{};
  // So few bytes come at once and whole.
  (void)!::getrandom(bytes.data(), bytes.size(), 0);
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string Format(const Manifest& manifest) {
  json memory = json::array();
  for (const MemoryFile& part : manifest.memory) {
    memory.push_back({{"size_mib", part.size_mib}, {"image", ToJson(part.image)}});
  }
  json disks = json::array();
  for (const DiskFile& disk : manifest.disks) {
    disks.push_back({{"id", disk.id}, {"bytes", disk.bytes}, {"image", ToJson(disk.image)}});
  }
  json layers = json::array();
  for (const LayerFile& layer : manifest.layers) {
    layers.push_back({{"id", layer.id}, {"bytes", layer.bytes}});
  }
  const json snapshot{
      {"id", manifest.id},
      {"created", manifest.created},
      {"sandbox_id", manifest.sandbox_id},
      {"containers", manifest.containers},
      {"origin", ToJson(manifest.origin)},
      {"machine", ToJson(manifest.machine)},
      {"state", {{"bytes", manifest.state_bytes}, {"checksum", manifest.state_checksum}}},
      {"memory", std::move(memory)},
      {"disks", std::move(disks)},
      {"layers", std::move(layers)},
      {"shim", manifest.shim}};
  const std::string text = snapshot.dump(-1, ' ', false, json::error_handler_t::replace);
  return fmt::format("{{\"format\":{},\"checksum\":{},\"snapshot\":{}}}\n", kFormat,
                     factory::Checksum(text), text);
}

Result<Manifest> Parse(std::string_view text) {
  if (text.size() > kMaxManifest) return Damaged("it is too long");
  const json read = KATA_TRY(Read(text));
  // All wrong types end here; the values are checked behind it.
  try {
    const auto format = Number<uint32_t>(read.at("format"));
    if (format < kOldestFormat || format > kFormat) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("the snapshot has the format {}, and this program reads {}: use the "
                              "version of kata-cpp that made it",
                              format, kFormat));
    }
    const json& snapshot = read.at("snapshot");
    const std::string body = snapshot.dump(-1, ' ', false, json::error_handler_t::replace);
    if (factory::Checksum(body) != Number<uint64_t>(read.at("checksum"))) {
      return Damaged("its checksum differs");
    }
    Manifest manifest = ManifestFrom(snapshot);
    KATA_TRY(Check(manifest));
    return manifest;
  } catch (const std::exception&) {
    return Damaged("it cannot be read");
  }
}

}  // namespace kata::snapshot
