// SPDX-License-Identifier: Apache-2.0
//
// Saving and restoring. QEMU writes the state of its devices and processors with the command that
// was made for Xen, which leaves the guest's memory alone, whatever it lives in, and has no states
// of a migration to come back from; it is read as an incoming migration.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/hypervisor/qemu/qemu_vm.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::hypervisor::qemu {
namespace {

using nlohmann::json;

constexpr size_t kMaxState = 64 << 20;
constexpr char kStream[] = "state";
constexpr char kFile[] = "/devices";

// The descriptors of QEMU's sets, by the sets' numbers.
std::map<int64_t, int> NumbersOf(const json& sets) {
  std::map<int64_t, int> numbers;
  if (!sets.is_array()) return numbers;
  for (const json& set : sets) {
    // All wrong types end here; a disk that is missed is an error of its own.
    try {
      numbers[set.at("fdset-id").get<int64_t>()] = set.at("fds").at(0).at("fd").get<int>();
    } catch (const json::exception&) {
      continue;
    }
  }
  return numbers;
}

}  // namespace

Result<std::vector<QemuVm::Attached>> QemuVm::SavableDevices() const {
  std::vector<Attached> devices;
  const MutexLock lock(mutex_);
  for (const auto& [id, device] : devices_) {
    if (device.kind == Attached::Kind::kFs) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("the guest shares files with the host by the device \"{}\", whose "
                              "state QEMU does not save: set shared_fs = \"none\" in "
                              "configuration.toml",
                              id));
    }
    if (device.busy || device.leaving) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("the device \"{}\" is being changed: try again", id));
    }
    devices.push_back(device);
  }
  // In the order of the command line that a VM to be restored gets.
  std::ranges::sort(devices, {}, [](const Attached& device) {
    return std::pair(device.shape.plugged, device.number);
  });
  return devices;
}

Result<sys::UniqueFd> QemuVm::OpenOfVmm(int number, std::string_view what) const {
  return KATA_TRY_WITHIN(what, sys::Open(fmt::format("{}{}", vmm_fds_, number), O_RDONLY));
}

Result<void> QemuVm::WriteState(const std::string& path, Deadline deadline) {
  const sys::UniqueFd file = KATA_TRY(sys::Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  int64_t set = 0;
  {
    const MutexLock lock(mutex_);
    set = next_fd_set_++;
  }
  Rollback cleanup;
  cleanup.Add([&] { (void)Call("remove-fd", {{"fdset-id", set}}, UndoDeadline()); });
  KATA_TRY(Call("add-fd", {{"fdset-id", set}}, deadline, file.get()));
  // Not "live": else it gives the disks away.
  KATA_TRY(Call("xen-save-devices-state",
                {{"filename", fmt::format("/dev/fdset/{}", set)}, {"live", false}}, deadline));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return FailErrno("stat", path);
  if (status.st_size > 0) return {};
  return Fail(Code::kDataLoss, fmt::format("QEMU wrote no state to \"{}\"", path));
}

Result<void> QemuVm::CollectMemory(SavedVm* saved, Deadline deadline) {
  if (!memory_fd_) {
    return Fail(Code::kFailedPrecondition,
                "the guest's memory is huge or was allocated at once: turn enable_hugepages and "
                "enable_mem_prealloc off in configuration.toml");
  }
  KATA_TRY(CountModules(deadline));
  saved->memory.push_back({.size_mib = shape_.boot_mib,
                           .file = KATA_TRY(OpenOfVmm(*memory_fd_, "memory of the VM")),
                           .shared = memory_.shared});
  for (const Module& module : modules_) {
    saved->shape.modules.push_back(module.shape);
    saved->memory.push_back({.size_mib = module.shape.size_mib,
                             .file = KATA_TRY(OpenOfVmm(module.file.fd, "added memory of the VM")),
                             .shared = module.file.shared});
  }
  saved->shape.vcpus = vcpus_;
  return {};
}

Result<void> QemuVm::CollectDisks(const std::vector<Attached>& devices, SavedVm* saved,
                                  Deadline deadline) {
  const auto numbers = NumbersOf(KATA_TRY(Call("query-fdsets", nullptr, deadline)));
  for (const Attached& device : devices) {
    saved->shape.devices.push_back(device.shape);
    if (device.kind != Attached::Kind::kDisk || device.shape.read_only) continue;
    const std::string what = fmt::format("disk \"{}\"", device.shape.id);
    const auto number = numbers.find(device.fd_set.value_or(-1));
    if (number == numbers.end()) {
      return Fail(Code::kDataLoss, what + ": QEMU does not say which file it has");
    }
    saved->disks[device.shape.id] = KATA_TRY(OpenOfVmm(number->second, what));
  }
  return {};
}

Result<SavedVm> QemuVm::Save(const std::string& folder, Deadline deadline) {
  if (!resizing_.Begin(deadline)) {
    return Fail(Code::kDeadlineExceeded, "a change of the VM's size does not end");
  }
  const CallTurn turn(resizing_);
  const std::vector<Attached> devices = KATA_TRY(SavableDevices());
  SavedVm saved{.shape = shape_, .vmm = process_->pid(), .memory = {}, .disks = {}};
  KATA_TRY(CollectMemory(&saved, deadline));
  KATA_TRY(CollectDisks(devices, &saved, deadline));
  KATA_TRY(Call("stop", nullptr, deadline));
  KATA_TRY_WITHIN("save the VM's state", WriteState(folder + kFile, deadline));
  // What was plugged in between is in the state, and nowhere else.
  const std::vector<Attached> now = KATA_TRY(SavableDevices());
  if (std::ranges::equal(devices, now, {}, &Attached::number, &Attached::number)) return saved;
  return Fail(Code::kAborted, "devices of the VM were changed meanwhile: try again");
}

Result<void> QemuVm::PrepareRestore(Deadline deadline) {
  const json events{{"capability", "events"}, {"state", true}};
  KATA_TRY(Call("migrate-set-capabilities", {{"capabilities", json::array({events})}}, deadline));
  // Nor does QEMU tell the network of a NIC whose address is the saved VM's.
  KATA_TRY(Call("migrate-set-parameters", {{"announce-rounds", 0}}, deadline));
  return {};
}

Result<void> QemuVm::BeginReading(sys::UniqueFd stream, Deadline deadline) {
  process_->ExpectMigration();
  Rollback undo;
  // QEMU keeps it until a command has used it.
  undo.Add([&] { (void)Call("closefd", {{"fdname", kStream}}, UndoDeadline()); });
  KATA_TRY(Call("getfd", {{"fdname", kStream}}, deadline, stream.get()));
  KATA_TRY(Call("migrate-incoming", {{"uri", fmt::format("fd:{}", kStream)}}, deadline));
  undo.Release();
  return {};
}

Result<void> QemuVm::Restore(const std::string& folder, Deadline deadline) {
  const std::string state = KATA_TRY(sys::ReadFile(folder + kFile, kMaxState));
  sys::SocketPair stream = KATA_TRY(sys::MakeSocketPair());
  KATA_TRY(BeginReading(std::move(stream.theirs), deadline));
  if (auto sent = sys::SendAll(stream.ours.get(), state, deadline); !sent) {
    return std::unexpected(process_->Explain(std::move(sent).error()));
  }
  stream.ours.Reset();
  if (auto read = process_->WaitForMigration(deadline); !read) {
    return std::unexpected(process_->Explain(std::move(read).error()));
  }
  return {};
}

}  // namespace kata::hypervisor::qemu
