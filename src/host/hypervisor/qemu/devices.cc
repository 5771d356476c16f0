// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/devices.h"

#include <sys/stat.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::hypervisor::qemu {
namespace {

using nlohmann::json;

bool IsIdCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

Result<void> Validate(const Disk& disk) {
  if (!disk.fd && disk.path.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("disk \"{}\": neither path nor file", disk.id));
  }
  if (disk.serial.size() > 20 || !IsPrintable(disk.serial)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("disk \"{}\": serial is longer than 20 printable bytes", disk.id));
  }
  return {};
}

Result<void> Validate(const VhostUserFs& fs) {
  if (fs.tag.empty() || fs.tag.size() > 36 || !IsPrintable(fs.tag)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("shared file system \"{}\": a tag has 1 to 36 printable bytes", fs.id));
  }
  if (!fs.fd && fs.socket.empty()) {
    return Fail(Code::kInvalidArgument,
                fmt::format("shared file system \"{}\": not connected to a daemon", fs.id));
  }
  if (fs.queue_size < 2 || fs.queue_size > 1024 || (fs.queue_size & (fs.queue_size - 1)) != 0) {
    return Fail(
        Code::kInvalidArgument,
        fmt::format("shared file system \"{}\": queue size {} is no power of two up to 1024", fs.id,
                    fs.queue_size));
  }
  return {};
}

Result<void> Validate(const Nic& nic) {
  if (nic.tap_fds.empty() || nic.tap_fds.size() > 16) {
    return Fail(Code::kInvalidArgument, fmt::format("NIC \"{}\": {} queues, 1 to 16 are possible",
                                                    nic.id, nic.tap_fds.size()));
  }
  if (!nic.vhost_fds.empty() && nic.vhost_fds.size() != nic.tap_fds.size()) {
    return Fail(Code::kInvalidArgument,
                fmt::format("NIC \"{}\": one vhost descriptor a queue, or none", nic.id));
  }
  if ((nic.mac[0] & 1) != 0) {
    return Fail(Code::kInvalidArgument, fmt::format("NIC \"{}\": multicast MAC address", nic.id));
  }
  return {};
}

std::string MacText(const Nic& nic) { return fmt::format("{:02x}", fmt::join(nic.mac, ":")); }

void PutAt(json& device, const PciPlace& place) {
  device["bus"] = place.bus;
  device["addr"] = fmt::format("{:x}", place.slot);
  device["disable-legacy"] = "on";
}

json FrontEndOf(const Disk& disk, const PciPlace& place, uint32_t lun) {
  json device{{"id", disk.id}, {"drive", "drive-" + disk.id}};
  // Else QEMU stops the whole machine when the host has no room for a write, and nobody goes on.
  device["werror"] = "report";
  device["rerror"] = "report";
  if (!disk.serial.empty()) device["serial"] = disk.serial;
  if (disk.bus == Disk::Bus::kScsi) {
    device["driver"] = "scsi-hd";
    device["bus"] = "scsi0.0";
    device["channel"] = 0;
    device["scsi-id"] = 0;
    device["lun"] = lun;
  } else {
    device["driver"] = "virtio-blk-pci";
    PutAt(device, place);
  }
  return device;
}

json FrontEndOf(const VhostUserFs& fs, const PciPlace& place, uint32_t) {
  json device{{"driver", "vhost-user-fs-pci"},
              {"id", fs.id},
              {"chardev", "char-" + fs.id},
              {"tag", fs.tag},
              {"queue-size", fs.queue_size}};
  PutAt(device, place);
  // This device knows no legacy mode, and no switch for it either.
  device.erase("disable-legacy");
  return device;
}

json FrontEndOf(const Nic& nic, const PciPlace& place, uint32_t) {
  json device{{"driver", "virtio-net-pci"},
              {"id", nic.id},
              {"netdev", "net-" + nic.id},
              {"mac", MacText(nic)},
              {"romfile", ""},
              // A copy that is told to announce itself has its kernel (6.12) wait for a lock which
              // an interface that is taken down holds, and waits for that.
              {"guest_announce", false}};
  if (nic.tap_fds.size() > 1) {
    device["mq"] = true;
    // A receive and a transmit vector a queue pair, one for control, one for configuration.
    device["vectors"] = 2 * nic.tap_fds.size() + 2;
  }
  PutAt(device, place);
  return device;
}

}  // namespace

PciPlace ColdPlace(uint32_t index) { return {"pcie.0", kFirstColdSlot + index}; }

PciPlace PortPlace(uint32_t port) { return {fmt::format("rp{}", port), 0}; }

std::string PortPciPath(uint32_t port) { return fmt::format("{:02x}/00", kFirstPortSlot + port); }

const std::string& DeviceId(const Device& device) {
  return std::visit([](const auto& d) -> const std::string& { return d.id; }, device);
}

bool IsScsi(const Device& device) {
  const auto* disk = std::get_if<Disk>(&device);
  return disk != nullptr && disk->bus == Disk::Bus::kScsi;
}

std::optional<uint32_t> PlaceOf(const Device& device) {
  if (const auto* disk = std::get_if<Disk>(&device)) return disk->place;
  if (const auto* nic = std::get_if<Nic>(&device)) return nic->place;
  return std::nullopt;
}

DeviceShape ShapeOf(const Device& device) {
  DeviceShape shape;
  shape.id = DeviceId(device);
  if (const auto* disk = std::get_if<Disk>(&device)) {
    shape.bus = disk->bus;
    shape.read_only = disk->read_only;
    shape.direct_io = disk->direct_io;
    shape.serial = disk->serial;
  } else if (const auto* nic = std::get_if<Nic>(&device)) {
    shape.kind = DeviceShape::Kind::kNic;
    shape.mac = nic->mac;
    shape.queues = static_cast<uint32_t>(nic->tap_fds.size());
    shape.vhost = !nic->vhost_fds.empty();
  }
  return shape;
}

Result<void> ValidateId(std::string_view what, std::string_view id) {
  const bool good = !id.empty() && id.size() <= 48 &&
                    ((id[0] | 0x20) >= 'a' && (id[0] | 0x20) <= 'z') &&
                    std::ranges::all_of(id, IsIdCharacter);
  if (good) return {};
  return Fail(Code::kInvalidArgument,
              fmt::format("{} id \"{}\": a letter, then up to 47 letters, digits, '-', '_', '.'",
                          what, id.substr(0, 64)));
}

Result<void> ValidateDevice(const Device& device) {
  KATA_TRY(ValidateId("device", DeviceId(device)));
  return std::visit([](const auto& d) { return Validate(d); }, device);
}

Result<void> OpenDevice(Device& device, Deadline deadline) {
  if (auto* disk = std::get_if<Disk>(&device); disk != nullptr && !disk->fd) {
    disk->fd = KATA_TRY_WITHIN(fmt::format("disk \"{}\"", disk->id),
                               sys::Open(disk->path, disk->read_only ? O_RDONLY : O_RDWR));
  }
  if (auto* fs = std::get_if<VhostUserFs>(&device); fs != nullptr && !fs->fd) {
    fs->fd = KATA_TRY_WITHIN(fmt::format("shared file system \"{}\"", fs->id),
                             sys::ConnectUnix(fs->socket, deadline));
  }
  return {};
}

std::string BackendId(const Device& device) {
  static constexpr const char* kPrefixes[] = {"drive-", "char-", "net-"};
  return kPrefixes[device.index()] + DeviceId(device);
}

bool IsBlockDevice(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISBLK(status.st_mode);
}

json BlockNode(const Disk& disk, const std::string& file_name, bool host_device) {
  const json cache{{"direct", disk.direct_io}, {"no-flush", false}};
  return json{{"driver", "raw"},
              {"node-name", "drive-" + disk.id},
              {"read-only", disk.read_only},
              {"discard", "unmap"},
              {"cache", cache},
              {"file",
               {{"driver", host_device ? "host_device" : "file"},
                {"filename", file_name},
                {"read-only", disk.read_only},
                {"discard", "unmap"},
                {"cache", cache}}}};
}

json NetBackend(const Nic& nic, const std::string& fds, const std::string& vhost_fds) {
  json backend{{"type", "tap"}, {"id", "net-" + nic.id}};
  backend[nic.tap_fds.size() == 1 ? "fd" : "fds"] = fds;
  if (!nic.vhost_fds.empty()) {
    backend["vhost"] = true;
    backend[nic.vhost_fds.size() == 1 ? "vhostfd" : "vhostfds"] = vhost_fds;
  }
  return backend;
}

json FrontEnd(const Device& device, const PciPlace& place, uint32_t lun) {
  return std::visit([&](const auto& d) { return FrontEndOf(d, place, lun); }, device);
}

}  // namespace kata::hypervisor::qemu
