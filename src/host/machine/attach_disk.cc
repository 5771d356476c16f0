// SPDX-License-Identifier: Apache-2.0
#include "host/machine/attach_disk.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/machine/machine.h"
#include "host/plan/source.h"
#include "host/storage/data_image.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

constexpr auto kDeviceTimeout = std::chrono::seconds(20);
constexpr auto kUnmountTime = std::chrono::seconds(1);

std::string DriverOf(const hypervisor::GuestAddress& address) {
  if (!address.node.empty()) return "mmioblk";
  return address.scsi.empty() ? "blk" : "scsi";
}

const std::string& AddressText(const hypervisor::GuestAddress& address) {
  if (!address.node.empty()) return address.node;
  return address.scsi.empty() ? address.pci_path : address.scsi;
}

Result<AttachedDisk> AttachClaimed(Machine& machine, sys::UniqueFd file, bool read_only) {
  const auto guest = machine.guest();
  hypervisor::Disk disk;
  disk.id = guest->NextDiskId();
  disk.fd = std::move(file);
  disk.read_only = read_only;
  disk.bus = machine.config()->hypervisor.block_device_driver == "virtio-scsi"
                 ? hypervisor::Disk::Bus::kScsi
                 : hypervisor::Disk::Bus::kBlock;
  disk.direct_io = machine.config()->hypervisor.block_device_cache_direct;
  std::string id = disk.id;
  const auto address =
      KATA_TRY(guest->vm()->Attach(std::move(disk), Deadline::After(kDeviceTimeout)));
  return AttachedDisk{
      .id = std::move(id), .driver = DriverOf(address), .address = AddressText(address)};
}

}  // namespace

// Two kernels that write to one file system destroy it: O_EXCL on a block device refuses one that
// the host has mounted, and a file must not be looped. Unmounting on the host may end a moment
// after the caller has been told so.
Result<sys::UniqueFd> OpenDisk(const std::string& source, bool read_only) {
  const int access = read_only ? O_RDONLY : O_RDWR;
  const Deadline patience = Deadline::After(kUnmountTime);
  for (;;) {
    const bool looped = ClassifySource(source) == SourceKind::kFile && IsLooped(source);
    if (!looped) {
      auto fd = sys::Open(source, access | O_EXCL);
      if (fd)
        KATA_TRY_WITHIN(fmt::format("\"{}\"", source), storage::ClaimDisk(fd->get(), read_only));
      if (fd || fd.error().error_number() != EBUSY) return fd;
    }
    if (patience.Passed()) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("\"{}\": in use on the host; unmount it first", source));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Result<AttachedDisk> AttachDisk(Machine& machine, const std::string& source, bool read_only) {
  sys::UniqueFd file = KATA_TRY_WITHIN("disk", OpenDisk(source, read_only));
  return KATA_TRY_WITHIN(fmt::format("disk \"{}\"", source),
                         AttachClaimed(machine, std::move(file), read_only));
}

Result<AttachedDisk> AttachDisk(Machine& machine, sys::UniqueFd file, bool read_only) {
  KATA_TRY(storage::ClaimDisk(file.get(), read_only));
  return AttachClaimed(machine, std::move(file), read_only);
}

void DetachDisk(Machine& machine, const std::string& id) {
  const auto detached = machine.guest()->vm()->Detach(id, Deadline::After(kDeviceTimeout));
  if (!detached) {
    log::Warn("a disk stays on the machine", {{"error", detached.error().message()}});
  }
}

}  // namespace kata::sandbox
