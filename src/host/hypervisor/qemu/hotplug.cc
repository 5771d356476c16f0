// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/rollback.h"
#include "host/hypervisor/qemu/qemu_vm.h"
#include "sys/file.h"

namespace kata::hypervisor::qemu {
namespace {

using nlohmann::json;

// What undoing a failed or finished plug may take.
Deadline UndoDeadline() { return Deadline::After(std::chrono::seconds(5)); }

}  // namespace

Result<QemuVm::Attached> QemuVm::Reserve(const Device& device) {
  const std::string& id = DeviceId(device);
  const std::lock_guard lock(mutex_);
  if (devices_.contains(id)) {
    return Fail(Code::kAlreadyExists, fmt::format("a device \"{}\" is attached already", id));
  }
  Attached place;
  const auto* disk = std::get_if<Disk>(&device);
  if (disk != nullptr && disk->bus == Disk::Bus::kScsi) {
    for (uint32_t lun = 0; lun < luns_used_.size() && !place.lun; ++lun) {
      if (!luns_used_[lun]) place.lun = lun;
    }
    if (!place.lun)
      return Fail(Code::kResourceExhausted, "all 256 SCSI disks of the VM are in use");
    luns_used_.set(*place.lun);
  } else {
    for (uint32_t port = 0; port < hotplug_ports_ && !place.port; ++port) {
      if (!ports_used_[port]) place.port = port;
    }
    if (!place.port) {
      return Fail(Code::kResourceExhausted,
                  fmt::format("all {} hotplug ports of the VM are in use: raise pcie_root_port in "
                              "configuration.toml",
                              hotplug_ports_));
    }
    ports_used_.set(*place.port);
  }
  place.kind = disk != nullptr                               ? Attached::Kind::kDisk
               : std::holds_alternative<VhostUserFs>(device) ? Attached::Kind::kFs
                                                             : Attached::Kind::kNic;
  devices_[id] = place;
  return place;
}

void QemuVm::Forget(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto it = devices_.find(id);
  if (it == devices_.end()) return;
  if (it->second.port) ports_used_.reset(*it->second.port);
  if (it->second.lun) luns_used_.reset(*it->second.lun);
  devices_.erase(it);
}

// Hands descriptors over under names that later commands use.
Result<std::string> QemuVm::PassFds(const std::string& prefix,
                                    const std::vector<sys::UniqueFd>& fds, Deadline deadline) {
  std::vector<std::string> names;
  for (const sys::UniqueFd& fd : fds) {
    names.push_back(fmt::format("{}-{}", prefix, names.size()));
    KATA_TRY(Call("getfd", {{"fdname", names.back()}}, deadline, fd.get()));
  }
  return fmt::format("{}", fmt::join(names, ":"));
}

Result<void> QemuVm::AddBackend(Device& device, Attached& place, Deadline deadline) {
  const std::string backend = BackendId(device);
  if (auto* disk = std::get_if<Disk>(&device)) {
    if (!disk->fd) {
      disk->fd = KATA_TRY(sys::Open(disk->path, disk->read_only ? O_RDONLY : O_RDWR));
    }
    const json added = KATA_TRY(Call("add-fd", json::object(), deadline, disk->fd.get()));
    const auto set = added.find("fdset-id");
    if (set == added.end() || !set->is_number_integer()) {
      return Fail(Code::kDataLoss, "QEMU add-fd: answer without an fdset-id");
    }
    place.fd_set = set->get<int64_t>();
    const std::string file = fmt::format("/dev/fdset/{}", *place.fd_set);
    KATA_TRY(Call("blockdev-add", BlockNode(*disk, file, IsBlockDevice(disk->fd.get())), deadline));
  } else if (auto* fs = std::get_if<VhostUserFs>(&device)) {
    KATA_TRY(Call("getfd", {{"fdname", backend}}, deadline, fs->fd.get()));
    const json address{{"type", "fd"}, {"data", {{"str", backend}}}};
    KATA_TRY(
        Call("chardev-add",
             {{"id", backend},
              {"backend", {{"type", "socket"}, {"data", {{"addr", address}, {"server", false}}}}}},
             deadline));
  } else {
    const Nic& nic = std::get<Nic>(device);
    const std::string fds = KATA_TRY(PassFds(backend, nic.tap_fds, deadline));
    const std::string vhost = KATA_TRY(PassFds(backend + "-vhost", nic.vhost_fds, deadline));
    KATA_TRY(Call("netdev_add", NetBackend(nic, fds, vhost), deadline));
  }
  return {};
}

void QemuVm::RemoveBackend(const std::string& id, const Attached& place, Deadline deadline) {
  switch (place.kind) {
    case Attached::Kind::kDisk:
      (void)Call("blockdev-del", {{"node-name", "drive-" + id}}, deadline);
      if (place.fd_set) (void)Call("remove-fd", {{"fdset-id", *place.fd_set}}, deadline);
      break;
    case Attached::Kind::kFs:
      (void)Call("chardev-remove", {{"id", "char-" + id}}, deadline);
      break;
    case Attached::Kind::kNic:
      (void)Call("netdev_del", {{"id", "net-" + id}}, deadline);
      break;
  }
}

Result<GuestAddress> QemuVm::Attach(Device device, Deadline deadline) {
  const std::string id = DeviceId(device);
  const std::string context = fmt::format("attach \"{}\"", id);
  KATA_TRY_WITHIN(context, ValidateDevice(device));
  if (std::holds_alternative<VhostUserFs>(device) && !memory_.shared) {
    return Fail(Code::kFailedPrecondition, context + ": needs shared guest memory");
  }
  Attached place = KATA_TRY_WITHIN(context, Reserve(device));
  Rollback undo;
  undo.Add([&] { Forget(id); });
  undo.Add([&] { RemoveBackend(id, place, UndoDeadline()); });
  KATA_TRY_WITHIN(context, AddBackend(device, place, deadline));
  const PciPlace pci = place.port ? PortPlace(*place.port) : PciPlace{};
  KATA_TRY_WITHIN(context,
                  Call("device_add", FrontEnd(device, pci, place.lun.value_or(0)), deadline));
  undo.Release();
  if (const auto* disk = std::get_if<Disk>(&device); disk != nullptr && !disk->read_only) {
    has_disks_ = true;
  }
  place.busy = false;
  {
    const std::lock_guard lock(mutex_);
    devices_[id] = place;
  }
  GuestAddress address;
  if (place.port) address.pci_path = PortPciPath(*place.port);
  if (place.lun) address.scsi = fmt::format("0:{}", *place.lun);
  return address;
}

Result<void> QemuVm::Detach(const std::string& id, Deadline deadline) {
  const std::string context = fmt::format("detach \"{}\"", id);
  Attached place;
  {
    const std::lock_guard lock(mutex_);
    const auto it = devices_.find(id);
    if (it == devices_.end()) return Fail(Code::kNotFound, context + ": no such device");
    if (it->second.cold) {
      return Fail(Code::kFailedPrecondition, context + ": it belongs to the VM since its start");
    }
    if (it->second.busy) return Fail(Code::kFailedPrecondition, context + ": it is being changed");
    it->second.busy = true;
    place = it->second;
  }
  Rollback undo;
  undo.Add([&] {
    const std::lock_guard lock(mutex_);
    if (const auto it = devices_.find(id); it != devices_.end()) it->second.busy = false;
  });
  process_->ExpectDeletion(id);
  Rollback expectation;
  expectation.Add([&] { process_->ForgetDeletion(id); });
  KATA_TRY_WITHIN(context, Call("device_del", {{"id", id}}, deadline));
  KATA_TRY_WITHIN(context, process_->WaitForDeletion(id, deadline));
  undo.Release();
  RemoveBackend(id, place, UndoDeadline());
  Forget(id);
  return {};
}

}  // namespace kata::hypervisor::qemu
