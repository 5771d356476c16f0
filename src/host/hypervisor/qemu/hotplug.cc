// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/hypervisor/qemu/qemu_vm.h"

namespace kata::hypervisor::qemu {

using nlohmann::json;

QemuVm::Attached QemuVm::Describe(const Device& device) {
  Attached place;
  place.shape = ShapeOf(device);
  place.kind = std::holds_alternative<Disk>(device)          ? Attached::Kind::kDisk
               : std::holds_alternative<VhostUserFs>(device) ? Attached::Kind::kFs
                                                             : Attached::Kind::kNic;
  place.number = next_number_++;
  return place;
}

void QemuVm::Plug(uint32_t at, bool scsi, Attached* place) {
  place->shape.plugged = true;
  if (scsi) {
    place->lun = place->shape.lun = at;
    luns_used_.set(at);
  } else {
    place->port = place->shape.port = at;
    ports_used_.set(at);
  }
}

Result<QemuVm::Attached> QemuVm::Reserve(const Device& device) {
  const std::string& id = DeviceId(device);
  const MutexLock lock(mutex_);
  if (devices_.contains(id)) {
    return Fail(Code::kAlreadyExists, fmt::format("a device \"{}\" is attached already", id));
  }
  Attached place = Describe(device);
  if (IsScsi(device)) {
    uint32_t lun = 0;
    while (lun < luns_used_.size() && luns_used_[lun]) ++lun;
    if (lun == luns_used_.size()) {
      return Fail(Code::kResourceExhausted, "all 256 SCSI disks of the VM are in use");
    }
    Plug(lun, true, &place);
  } else {
    uint32_t port = 0;
    while (port < shape_.hotplug_ports && ports_used_[port]) ++port;
    if (port == shape_.hotplug_ports) {
      return Fail(Code::kResourceExhausted,
                  fmt::format("all {} hotplug ports of the VM are in use: raise pcie_root_port in "
                              "configuration.toml",
                              shape_.hotplug_ports));
    }
    Plug(port, false, &place);
  }
  devices_[id] = place;
  return place;
}

void QemuVm::Forget(const std::string& id) {
  const MutexLock lock(mutex_);
  const auto it = devices_.find(id);
  if (it == devices_.end()) return;
  if (it->second.port) ports_used_.reset(*it->second.port);
  if (it->second.lun) luns_used_.reset(*it->second.lun);
  devices_.erase(it);
}

Result<void> QemuVm::PassFd(const std::string& name, int fd, Attached& place, Deadline deadline) {
  // Noted before: if the answer does not come, QEMU may have it.
  place.fd_names.push_back(name);
  KATA_TRY(Call("getfd", {{"fdname", name}}, deadline, fd));
  return {};
}

Result<std::string> QemuVm::PassFds(const std::string& prefix,
                                    const std::vector<sys::UniqueFd>& fds, Attached& place,
                                    Deadline deadline) {
  std::vector<std::string> names;
  for (const sys::UniqueFd& fd : fds) {
    names.push_back(fmt::format("{}-{}", prefix, names.size()));
    KATA_TRY(PassFd(names.back(), fd.get(), place, deadline));
  }
  return fmt::format("{}", fmt::join(names, ":"));
}

Result<void> QemuVm::AddDisk(const Disk& disk, Attached& place, Deadline deadline) {
  {
    const MutexLock lock(mutex_);
    place.fd_set = next_fd_set_++;
  }
  // A number of our own: the set can be removed although the answer has not come.
  KATA_TRY(Call("add-fd", {{"fdset-id", *place.fd_set}}, deadline, disk.fd.get()));
  const std::string file = fmt::format("/dev/fdset/{}", *place.fd_set);
  KATA_TRY(Call("blockdev-add", BlockNode(disk, file, IsBlockDevice(disk.fd.get())), deadline));
  return {};
}

Result<void> QemuVm::AddShare(const VhostUserFs& fs, Attached& place, Deadline deadline) {
  const std::string backend = "char-" + fs.id;
  KATA_TRY(PassFd(backend, fs.fd.get(), place, deadline));
  const json address{{"type", "fd"}, {"data", {{"str", backend}}}};
  const json data{{"addr", address}, {"server", false}};
  KATA_TRY(Call("chardev-add", {{"id", backend}, {"backend", {{"type", "socket"}, {"data", data}}}},
                deadline));
  return {};
}

Result<void> QemuVm::AddNic(const Nic& nic, Attached& place, Deadline deadline) {
  const std::string backend = "net-" + nic.id;
  const std::string fds = KATA_TRY(PassFds(backend, nic.tap_fds, place, deadline));
  const std::string vhost = KATA_TRY(PassFds(backend + "-vhost", nic.vhost_fds, place, deadline));
  KATA_TRY(Call("netdev_add", NetBackend(nic, fds, vhost), deadline));
  return {};
}

Result<void> QemuVm::AddBackend(const Device& device, Attached& place, Deadline deadline) {
  if (const auto* disk = std::get_if<Disk>(&device)) return AddDisk(*disk, place, deadline);
  if (const auto* fs = std::get_if<VhostUserFs>(&device)) {
    KATA_TRY(AddShare(*fs, place, deadline));
  } else {
    KATA_TRY(AddNic(std::get<Nic>(device), place, deadline));
  }
  place.fd_names.clear();  // the back end has them now
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
  for (const std::string& name : place.fd_names) {
    (void)Call("closefd", {{"fdname", name}}, deadline);
  }
}

void QemuVm::Release(const std::string& id, const Attached& place) {
  RemoveBackend(id, place, UndoDeadline());
  process_->ForgetGone(id);
  Forget(id);
}

void QemuVm::Abandon(const std::string& id, Attached place, Code why) {
  if (why == Code::kDeadlineExceeded) {
    // It may be there by now, and its place is taken for as long as the guest holds it.
    const auto removed = Call("device_del", {{"id", id}}, UndoDeadline());
    const bool unknown = !removed && removed.error().code() == Code::kDeadlineExceeded;
    if ((removed || unknown) && !process_->IsGone(id)) {
      place.busy = false;
      place.leaving = true;
      const MutexLock lock(mutex_);
      devices_[id] = std::move(place);
      return;
    }
  }
  Release(id, place);
}

void QemuVm::CollectGone() {
  std::vector<std::pair<std::string, Attached>> gone;
  {
    const MutexLock lock(mutex_);
    for (auto& [id, device] : devices_) {
      if (device.busy || device.cold || !process_->IsGone(id)) continue;
      device.busy = true;
      gone.emplace_back(id, device);
    }
  }
  for (const auto& [id, device] : gone) Release(id, device);
}

Result<GuestAddress> QemuVm::Attach(Device device, Deadline deadline) {
  const std::string id = DeviceId(device);
  const std::string context = fmt::format("attach \"{}\"", id);
  KATA_TRY_WITHIN(context, ValidateDevice(device));
  if (std::holds_alternative<VhostUserFs>(device) && !memory_.shared) {
    return Fail(Code::kFailedPrecondition, context + ": needs shared guest memory");
  }
  KATA_TRY_WITHIN(context, OpenDevice(device, deadline));
  CollectGone();
  Attached place = KATA_TRY_WITHIN(context, Reserve(device));
  if (auto added = AddBackend(device, place, deadline); !added) {
    Release(id, place);
    return std::unexpected(std::move(added).error().Within(context));
  }
  process_->ForgetGone(id);  // what was said of an earlier one of this id
  const PciPlace pci = place.port ? PortPlace(*place.port) : PciPlace{};
  const json front_end = FrontEnd(device, pci, place.lun.value_or(0));
  if (auto plugged = Call("device_add", front_end, deadline); !plugged) {
    Abandon(id, place, plugged.error().code());
    return std::unexpected(std::move(plugged).error().Within(context));
  }
  if (const auto* disk = std::get_if<Disk>(&device); disk != nullptr && !disk->read_only) {
    has_disks_ = true;
  }
  place.busy = false;
  GuestAddress address;
  if (place.port) address.pci_path = PortPciPath(*place.port);
  if (place.lun) address.scsi = fmt::format("0:{}", *place.lun);
  const MutexLock lock(mutex_);
  devices_[id] = std::move(place);
  return address;
}

// Returns when the guest has let go of the device.
Result<void> QemuVm::AskToLetGo(const std::string& id, bool asked_before, Deadline deadline) {
  if (process_->IsGone(id)) return {};
  const auto asked = Call("device_del", {{"id", id}}, deadline);
  const Code code = asked ? Code::kOk : asked.error().code();
  if (code == Code::kNotFound) return {};
  if (code == Code::kOk || code == Code::kDeadlineExceeded) {
    const MutexLock lock(mutex_);
    devices_[id].leaving = true;
  }
  // QEMU refuses to ask again so soon; the first time holds.
  const bool refused_again = asked_before && code == Code::kFailedPrecondition;
  if (code != Code::kOk && !refused_again) return std::unexpected(asked.error());
  return process_->WaitUntilGone(id, deadline);
}

Result<void> QemuVm::Detach(const std::string& id, Deadline deadline) {
  const std::string context = fmt::format("detach \"{}\"", id);
  Attached place;
  {
    const MutexLock lock(mutex_);
    const auto it = devices_.find(id);
    if (it == devices_.end()) return Fail(Code::kNotFound, context + ": no such device");
    if (it->second.cold) {
      return Fail(Code::kFailedPrecondition, context + ": it belongs to the VM since its start");
    }
    if (it->second.busy) return Fail(Code::kFailedPrecondition, context + ": it is being changed");
    it->second.busy = true;
    place = it->second;
  }
  if (auto gone = AskToLetGo(id, place.leaving, deadline); !gone) {
    const MutexLock lock(mutex_);
    devices_[id].busy = false;
    return std::unexpected(std::move(gone).error().Within(context));
  }
  Release(id, place);
  return {};
}

}  // namespace kata::hypervisor::qemu
