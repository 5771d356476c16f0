// SPDX-License-Identifier: Apache-2.0
#include "host/machine/saved_guest.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace kata::sandbox {
namespace {

using hypervisor::DeviceShape;

constexpr auto kResumeTime = std::chrono::seconds(10);

}  // namespace

Result<void> CaptureGuest(const Guest& guest, snapshot::Writer& writer, bool go_on,
                          Deadline deadline) {
  hypervisor::Hypervisor& vm = *guest.vm();
  auto captured = [&]() -> Result<void> {
    return writer.Capture(KATA_TRY(vm.Save(writer.state_folder(), deadline)));
  }();
  if (captured && !go_on) return {};
  auto resumed = vm.Resume(Deadline::After(kResumeTime));
  if (captured) return resumed;
  LogIfFailed(resumed);
  return captured;
}

std::vector<SavedNic> NicsOf(const hypervisor::MachineShape& machine) {
  std::vector<SavedNic> nics;
  for (const DeviceShape& device : machine.devices) {
    if (device.kind != DeviceShape::Kind::kNic) continue;
    nics.push_back(
        {.id = device.id, .mac = device.mac, .queues = device.queues, .port = device.port});
  }
  return nics;
}

Result<std::vector<hypervisor::Disk>> DisksOf(const hypervisor::MachineShape& machine,
                                              std::map<std::string, sys::UniqueFd>& files) {
  std::vector<hypervisor::Disk> disks;
  for (const DeviceShape& device : machine.devices) {
    if (device.kind != DeviceShape::Kind::kDisk) continue;
    const auto file = files.find(device.id);
    if (file == files.end()) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("the saved machine had a disk \"{}\", and there is nothing to put "
                              "in its place",
                              device.id));
    }
    hypervisor::Disk disk{.id = device.id,
                          .path = {},
                          .fd = std::move(file->second),
                          .read_only = device.read_only,
                          .bus = device.bus,
                          .serial = device.serial,
                          .direct_io = device.direct_io};
    if (device.plugged) {
      disk.place = device.bus == hypervisor::Disk::Bus::kScsi ? device.lun : device.port;
    }
    disks.push_back(std::move(disk));
  }
  return disks;
}

unsigned NextDiskNumber(const hypervisor::MachineShape& machine) {
  unsigned next = 0;
  for (const DeviceShape& device : machine.devices) {
    const std::string_view id = device.id;
    if (device.kind != DeviceShape::Kind::kDisk || !id.starts_with(Guest::kDiskPrefix)) continue;
    unsigned number = 0;
    const char* const end = id.data() + id.size();
    const auto read = std::from_chars(id.data() + Guest::kDiskPrefix.size(), end, number);
    if (read.ec == std::errc{} && read.ptr == end) next = std::max(next, number + 1);
  }
  return next;
}

}  // namespace kata::sandbox
