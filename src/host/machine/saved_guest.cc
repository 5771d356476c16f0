// SPDX-License-Identifier: Apache-2.0
#include "host/machine/saved_guest.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"

namespace kata::sandbox {
namespace {

using hypervisor::DeviceShape;

using std::chrono::seconds;

constexpr auto kFreezeTime = seconds(20);
constexpr auto kHoldTime = seconds(60);
constexpr auto kGoOnTime = seconds(60);

Result<void> Release(const Guest& guest) {
  const Deadline deadline = Deadline::After(kGoOnTime);
  KATA_TRY_WITHIN("resume", guest.vm()->Resume(deadline));
  KATA_TRY_WITHIN("renew", guest.agent()->Renew({}, deadline));
  KATA_TRY_WITHIN("thaw", guest.agent()->Thaw(deadline));
  return {};
}

}  // namespace

Result<StillGuest> StillGuest::Hold(std::shared_ptr<const Guest> guest, snapshot::Writer& writer) {
  KATA_TRY_WITHIN("freeze", guest->agent()->Freeze(Deadline::After(kFreezeTime)));
  StillGuest still(std::move(guest));
  still.first_stream_ = still.guest_->agent()->next_stream();
  hypervisor::SavedVm saved =
      KATA_TRY(still.guest_->vm()->Save(writer.state_folder(), Deadline::After(kHoldTime)));
  still.shape_ = saved.shape;
  KATA_TRY(writer.Capture(std::move(saved)));
  return still;
}

StillGuest::~StillGuest() { LogIfFailed(GoOn()); }

Result<void> StillGuest::GoOn() {
  const auto guest = std::exchange(guest_, nullptr);
  if (!guest) return {};
  auto released = Release(*guest);
  if (released) return {};
  // Half awake it would be worse than gone.
  guest->processes().Kill();
  return std::unexpected(
      std::move(released).error().Within("the machine does not go on and is ended"));
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
