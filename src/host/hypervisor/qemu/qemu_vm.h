// SPDX-License-Identifier: Apache-2.0
//
// qemu/qemu_vm.h - the QEMU driver's state. Private to this folder.
#pragma once

#include <atomic>
#include <bitset>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/call_queue.h"
#include "base/mutex.h"
#include "host/hypervisor/console_log.h"
#include "host/hypervisor/hypervisor.h"
#include "host/hypervisor/qemu/argv.h"
#include "host/hypervisor/qemu/devices.h"
#include "host/hypervisor/qemu/qmp_client.h"
#include "sys/event_loop.h"
#include "sys/process.h"

namespace kata::hypervisor::qemu {

// What undoing a failed or finished command may take. QEMU does commands in their order: when one
// that undoes is answered, an earlier one that was not has been done or refused.
inline Deadline UndoDeadline() { return Deadline::After(std::chrono::seconds(5)); }

// Sets of descriptors of disks that are plugged, above those of the command line.
inline constexpr int64_t kFirstFdSet = 1000;

// QEMU's process and what it says, shared by the driver and by the handlers on the event loop.
class QemuProcess : public std::enable_shared_from_this<QemuProcess> {
 public:
  explicit QemuProcess(sys::EventLoop& loop) : loop_(loop) {}

  // Takes over what Start has made and begins to watch for the end.
  void Adopt(sys::ChildProcess child, std::shared_ptr<LogReader> errors,
             std::shared_ptr<LogReader> console, std::shared_ptr<LogReader> serial);
  void SetQmp(std::shared_ptr<QmpClient> qmp) { qmp_ = std::move(qmp); }

  void OnEvent(const QmpEvent& event);

  // Marks the end as wanted, asks QEMU to go if there is a grace, kills it after that, reaps it.
  void Stop(std::chrono::milliseconds grace);
  // Kills QEMU; its end is reported as that of one that failed.
  void Kill();
  void OnExit(Hypervisor::ExitHandler handler);
  std::optional<VmExit> exit() const;

  // `error` with what is known about QEMU's end in its place, when QEMU has died.
  Error Explain(Error error);

  // Whether QEMU has said that the guest has let go of the device, asked to or by itself.
  bool IsGone(const std::string& id) const;
  // Waits for that.
  // Errors  kDeadlineExceeded  the guest holds it
  Result<void> WaitUntilGone(const std::string& id, Deadline deadline);
  // Before a device of this id is plugged again.
  void ForgetGone(const std::string& id);

  // Call ExpectMigration() before the command that begins one; what was said of earlier ones does
  // not count. Then returns when QEMU has said that the state was written or read to its end.
  void ExpectMigration();
  Result<void> WaitForMigration(Deadline deadline);

  pid_t pid() const;
  const std::shared_ptr<QmpClient>& qmp() const { return qmp_; }
  const std::shared_ptr<ConsoleLog>& console_log() const { return console_log_; }
  const std::shared_ptr<ConsoleLog>& error_log() const { return error_log_; }

 private:
  void ReapIfEnded();
  VmExit DescribeExit(sys::ExitStatus status) KATA_REQUIRES(mutex_);

  sys::EventLoop& loop_;
  const std::shared_ptr<ConsoleLog> console_log_ = std::make_shared<ConsoleLog>();
  const std::shared_ptr<ConsoleLog> error_log_ = std::make_shared<ConsoleLog>(8 << 10);
  // Set before the process is shared with the loop, never changed afterwards.
  std::shared_ptr<QmpClient> qmp_;
  std::vector<std::shared_ptr<LogReader>> readers_;

  mutable Mutex mutex_;
  CondVar changed_;
  sys::ChildProcess child_ KATA_GUARDED_BY(mutex_);
  pid_t pid_ KATA_GUARDED_BY(mutex_) = -1;
  bool stop_wanted_ KATA_GUARDED_BY(mutex_) = false;
  bool panicked_ KATA_GUARDED_BY(mutex_) = false;
  std::string shutdown_reason_ KATA_GUARDED_BY(mutex_);
  bool reaping_ KATA_GUARDED_BY(mutex_) = false;
  std::optional<VmExit> exit_ KATA_GUARDED_BY(mutex_);
  std::vector<Hypervisor::ExitHandler> exit_handlers_ KATA_GUARDED_BY(mutex_);
  // Devices; each of them is in QemuVm's table until it is collected.
  std::set<std::string> gone_ KATA_GUARDED_BY(mutex_);
  std::string migration_ KATA_GUARDED_BY(mutex_);  // what QEMU said last about it
};

class QemuVm : public Hypervisor {
 public:
  explicit QemuVm(sys::EventLoop& loop)
      : loop_(loop), process_(std::make_shared<QemuProcess>(loop)) {}
  ~QemuVm() override { process_->Stop(std::chrono::milliseconds(0)); }

  Result<void> Start(VmSpec spec, Deadline deadline) override;
  // The two parts of Start that need no process of QEMU's: take over its monitor's connection, then
  // wait for its greeting and begin with what `spec` and its command line say. `fds` is the
  // directory of QEMU's descriptors, with a slash at its end, `agent` the virtio-serial stream
  // where there is one.
  void ConnectMonitor(sys::UniqueFd qmp);
  Result<void> Enter(VmSpec& spec, const CommandLine& line, std::string fds, sys::UniqueFd agent,
                     Deadline deadline);
  Result<sys::UniqueFd> ConnectAgent(Deadline deadline) override;
  Result<GuestAddress> Attach(Device device, Deadline deadline) override;
  Result<void> Detach(const std::string& id, Deadline deadline) override;
  Result<void> GrowDisk(const std::string& id, uint64_t bytes, Deadline deadline) override;
  Result<Resized> Resize(Resources wanted, Deadline deadline) override;
  Result<SavedVm> Save(const std::string& folder, Deadline deadline) override;
  Result<void> Restore(const std::string& folder, Deadline deadline) override;
  Result<void> Pause(Deadline deadline) override;
  Result<void> Resume(Deadline deadline) override;
  void Stop(std::chrono::milliseconds grace) override { process_->Stop(grace); }
  void Kill() override { process_->Kill(); }
  void OnExit(ExitHandler handler) override { process_->OnExit(std::move(handler)); }
  bool has_disks() const override { return has_disks_; }
  pid_t pid() const override { return process_->pid(); }
  std::string ConsoleTail(size_t lines) const override {
    return process_->console_log()->Tail(lines);
  }

 private:
  // Where an attached device sits, and what has to be undone for it.
  struct Attached {
    enum class Kind { kDisk, kFs, kNic } kind = Kind::kDisk;
    DeviceShape shape;  // but for a share
    std::optional<uint32_t> port;
    std::optional<uint32_t> lun;
    std::optional<int64_t> fd_set;
    uint64_t number = 0;                // counts the devices up as they come
    std::vector<std::string> fd_names;  // that were given to QEMU and not used yet
    bool busy = true;                   // an attach or detach is under way
    bool leaving = false;               // the guest was asked to let go of it
    bool cold = false;
  };

  // A file of memory that was plugged.
  struct ModuleFile {
    int fd = -1;  // QEMU's number
    bool shared = true;
  };
  struct Module {
    ModuleShape shape;
    ModuleFile file;
  };

  Result<void> Launch(VmSpec& spec, Deadline deadline);
  Attached Describe(const Device& device) KATA_REQUIRES(mutex_);
  // Takes the LUN or port `at`.
  void Plug(uint32_t at, bool scsi, Attached* place) KATA_REQUIRES(mutex_);
  Result<Attached> Reserve(const Device& device);
  Result<void> AddBackend(const Device& device, Attached& place, Deadline deadline);
  Result<void> AddDisk(const Disk& disk, Attached& place, Deadline deadline);
  Result<void> AddShare(const VhostUserFs& fs, Attached& place, Deadline deadline);
  Result<void> AddNic(const Nic& nic, Attached& place, Deadline deadline);
  void RemoveBackend(const std::string& id, const Attached& place, Deadline deadline);
  // After a device_add that failed with `why`: gives the place back, or leaves that to CollectGone.
  void Abandon(const std::string& id, Attached place, Code why);
  // The device has gone, or never came: nothing of it stays.
  void Release(const std::string& id, const Attached& place);
  Result<void> AskToLetGo(const std::string& id, bool asked_before, Deadline deadline);
  // Releases what guests have let go of and no Detach has waited for.
  void CollectGone();
  void Forget(const std::string& id);
  // Gives QEMU a descriptor under a name that later commands use.
  Result<void> PassFd(const std::string& name, int fd, Attached& place, Deadline deadline);
  Result<std::string> PassFds(const std::string& prefix, const std::vector<sys::UniqueFd>& fds,
                              Attached& place, Deadline deadline);
  void AddStartDevices(const VmSpec& spec, const CommandLine& line) KATA_REQUIRES(mutex_);
  // Errors  kFailedPrecondition  naming the device that is in the way
  Result<std::vector<Attached>> SavableDevices() const;
  // Opens, for reading, what QEMU has open as this number.
  Result<sys::UniqueFd> OpenOfVmm(int number, std::string_view what) const;
  Result<void> CollectMemory(SavedVm* saved, Deadline deadline) KATA_REQUIRES(resizing_);
  Result<void> CollectDisks(const std::vector<Attached>& devices, SavedVm* saved,
                            Deadline deadline);
  Result<void> WriteState(const std::string& path, Deadline deadline);
  Result<void> PrepareRestore(Deadline deadline);
  // Has QEMU begin to read a state from `stream`.
  Result<void> BeginReading(sys::UniqueFd stream, Deadline deadline);
  // These give the reason why they fall short, or nothing.
  Result<std::string> AddCpus(uint32_t wanted, Deadline deadline) KATA_REQUIRES(resizing_);
  Result<std::string> AddMemory(uint32_t wanted_mib, Deadline deadline) KATA_REQUIRES(resizing_);
  Result<void> AddModule(uint32_t size_mib, Deadline deadline) KATA_REQUIRES(resizing_);
  // Gives QEMU a file in memory of that size; its number there, and the set that it is in.
  Result<std::pair<int, int64_t>> PassMemory(uint32_t size_mib, Deadline deadline);
  Result<uint64_t> SizeOfDisk(const std::string& id, Deadline deadline);
  // What was plugged so far, as QEMU counts it: a command that was not answered in time may have
  // been done all the same.
  Result<void> CountModules(Deadline deadline) KATA_REQUIRES(resizing_);
  // A command; QEMU's death in the middle is explained in the error.
  Result<nlohmann::json> Call(std::string_view command, const nlohmann::json& arguments,
                              Deadline deadline, int fd = -1);

  sys::EventLoop& loop_;
  const std::shared_ptr<QemuProcess> process_;
  std::atomic<bool> has_disks_ = false;

  // Set by Start, before any other call, and never changed.
  Memory memory_;  // without its files
  MachineShape shape_;
  std::string vmm_fds_;
  std::optional<int> memory_fd_;  // QEMU's number of the file that it booted in

  mutable Mutex mutex_;  // never held across a command
  bool started_ KATA_GUARDED_BY(mutex_) = false;
  std::optional<VsockChannel> vsock_ KATA_GUARDED_BY(mutex_);
  sys::UniqueFd agent_socket_ KATA_GUARDED_BY(mutex_);  // virtio-serial
  std::map<std::string, Attached> devices_ KATA_GUARDED_BY(mutex_);
  std::bitset<kMaxHotplugPorts> ports_used_ KATA_GUARDED_BY(mutex_);
  std::bitset<kMaxLun + 1> luns_used_ KATA_GUARDED_BY(mutex_);
  int64_t next_fd_set_ KATA_GUARDED_BY(mutex_) = kFirstFdSet;
  uint64_t next_number_ KATA_GUARDED_BY(mutex_) = 0;

  CallQueue resizing_;  // one Resize or GrowDisk at a time
  uint32_t vcpus_ KATA_GUARDED_BY(resizing_) = 0;
  uint32_t memory_mib_ KATA_GUARDED_BY(resizing_) = 0;
  std::vector<Module> modules_ KATA_GUARDED_BY(resizing_);  // as QEMU counted them last
  std::map<std::string, ModuleFile> module_files_ KATA_GUARDED_BY(resizing_);  // by the ids
};

}  // namespace kata::hypervisor::qemu
