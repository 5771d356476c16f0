// SPDX-License-Identifier: Apache-2.0
//
// qemu/fake_monitor.h - the driver's peer in unit tests: a monitor that keeps account of devices,
// back ends and descriptors as QEMU does, and a VM that is connected to it.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/mutex.h"
#include "host/hypervisor/qemu/qemu_vm.h"
#include "host/hypervisor/testing/test_guest.h"
#include "sys/fd.h"
#include "sys/sockets.h"

namespace kata::hypervisor::qemu {

inline constexpr uint64_t kFakeDisk = 10 << 20;

// Answers on a thread of its own, one command after the other, until the peer closes.
class FakeMonitor {
 public:
  explicit FakeMonitor(sys::UniqueFd socket);
  ~FakeMonitor();

  // The next `command` is refused.
  void Refuse(const std::string& command);
  // The next `command` is done, but answered only when the one after it has come.
  void AnswerLate(const std::string& command);
  // Whether the guest lets go of a device as soon as it is asked to.
  void GuestHoldsDevices(bool holds);
  // The guest lets go of it, asked or not.
  void LetGo(const std::string& id);
  // The next migration does not end.
  void MigrationsHang();

  std::set<std::string> devices();
  std::set<std::string> back_ends();
  // Block nodes, bytes each; a new one has kFakeDisk.
  std::map<std::string, uint64_t> disks();
  // What was given with getfd and add-fd and is still there.
  std::set<std::string> descriptors();

 private:
  using Json = nlohmann::json;

  void Run();
  void Handle(const Json& message, sys::UniqueFd fd);
  // The value of the answer; an error's description in `refusal`.
  Json Do(const std::string& command, const Json& arguments, sys::UniqueFd fd, std::string* refusal)
      KATA_REQUIRES(mutex_);
  Json Plug(const Json& arguments, std::string* refusal) KATA_REQUIRES(mutex_);
  void Unplug(const std::string& id, std::string* refusal) KATA_REQUIRES(mutex_);
  Json Processors() const KATA_REQUIRES(mutex_);
  Json MemoryModules() const KATA_REQUIRES(mutex_);
  // Takes the named descriptors out, as a command does that uses them.
  std::vector<sys::UniqueFd> Take(const std::string& names, std::string* refusal)
      KATA_REQUIRES(mutex_);
  Json Sets() const KATA_REQUIRES(mutex_);
  void ReadState(const Json& arguments, std::string* refusal) KATA_REQUIRES(mutex_);
  void Event(const std::string& name, const Json& data);
  void Send(const Json& message);

  const sys::UniqueFd socket_;
  Mutex mutex_;
  std::set<std::string> refused_ KATA_GUARDED_BY(mutex_);
  std::set<std::string> late_ KATA_GUARDED_BY(mutex_);
  Json late_answer_ KATA_GUARDED_BY(mutex_);
  sys::UniqueFd incoming_ KATA_GUARDED_BY(mutex_);
  bool holds_ KATA_GUARDED_BY(mutex_) = false;
  bool migrations_hang_ KATA_GUARDED_BY(mutex_) = false;
  std::map<std::string, Json> devices_ KATA_GUARDED_BY(mutex_);
  std::set<std::string> leaving_ KATA_GUARDED_BY(mutex_);
  std::set<std::string> back_ends_ KATA_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> disks_ KATA_GUARDED_BY(mutex_);
  // Memory back ends, bytes each.
  std::map<std::string, uint64_t> modules_ KATA_GUARDED_BY(mutex_);
  std::map<std::string, sys::UniqueFd> descriptors_ KATA_GUARDED_BY(mutex_);
  std::map<std::string, sys::UniqueFd> sets_ KATA_GUARDED_BY(mutex_);
  std::thread thread_;
};

// A VM of which the process is left out: what QEMU would have open is open here.
class FakeMonitorTest : public ::testing::Test {
 protected:
  static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  // For what is to fail by it.
  static Deadline AtOnce() { return Deadline::After(std::chrono::milliseconds(200)); }

  void Start(VmSpec spec = {});
  // Returns when all that the monitor has said before has been heard.
  void Settle() { ASSERT_TRUE(vm_->Pause(Soon())); }

  testing::LoopThread loop_;
  sys::UniqueFd memory_;
  std::unique_ptr<QemuVm> vm_;
  std::unique_ptr<FakeMonitor> monitor_;
};

}  // namespace kata::hypervisor::qemu
