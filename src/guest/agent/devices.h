// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/devices.h - waiting for devices that the VMM plugs in.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::guest {

// Asks again whenever the kernel announces something (a uevent), and a few times a second besides,
// because a bus may need to be told to look. Uses no time while nobody waits.
// Basis: kernel uevents over NETLINK_KOBJECT_UEVENT.
class DeviceWaiter {
 public:
  // True: all is there. An error ends the wait.
  using Check = std::move_only_function<Result<bool>()>;
  using Done = std::move_only_function<void(Result<void>)>;

  explicit DeviceWaiter(sys::EventLoop& loop);
  DeviceWaiter(const DeviceWaiter&) = delete;
  DeviceWaiter& operator=(const DeviceWaiter&) = delete;
  ~DeviceWaiter();

  // Calls `done` once: at once where `check` holds already, or with its error, or with
  // kDeadlineExceeded after `timeout`, in which it was asked often: a processor that stood still,
  // as a busy host's emulated one does, is no reason to give up.
  void Wait(Check check, std::chrono::milliseconds timeout, Done done);

 private:
  struct Waiting {
    Check check;
    Deadline deadline;
    std::chrono::milliseconds timeout;
    Done done;
    int asked_in_time = 0;  // at intervals, that is: announcements do not count
  };

  void OnUevents();
  void AskAll(bool after_interval);
  void Arm();

  sys::EventLoop& loop_;
  sys::UniqueFd uevents_;
  std::list<Waiting> waiting_;
  std::optional<sys::EventLoop::TimerId> timer_;
};

}  // namespace kata::guest
