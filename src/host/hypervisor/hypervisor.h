// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/hypervisor.h - one virtual machine, whatever VMM runs it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "host/hypervisor/saved_vm.h"
#include "host/hypervisor/vm_spec.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::hypervisor {

// Why and how a VM ended.
struct VmExit {
  enum class Reason {
    kStopped,        // Stop() was asked for
    kGuestShutdown,  // the guest powered itself off
    kGuestReset,     // the guest rebooted itself, or its kernel gave up silently
    kGuestPanic,     // the guest's kernel panicked
    kVmmFailed,      // the VMM ended by itself with an error, or was killed
  };
  Reason reason = Reason::kVmmFailed;
  sys::ExitStatus status;  // of the VMM's process
  // One line for people, with the VMM's last words or the guest's where they explain the end.
  std::string message;
};

// One virtual machine, from before its process exists until after it has gone.
//
// Start once; Attach, Detach, Resize, Pause and Resume only after Start has succeeded; Stop at any
// time and more than once. The exit handlers each run exactly once, whoever ended the VM. Calls
// block, each until its deadline at most; they come from any thread but the event loop's, several
// at a time. The destructor kills what still runs, and belongs to a thread that is not the event
// loop's while the loop runs, or to any thread after it has ended.
//
// A call that finds the VM dead fails with kUnavailable and says how it died.
class Hypervisor {
 public:
  using ExitHandler = std::move_only_function<void(const VmExit&)>;

  Hypervisor() = default;
  Hypervisor(const Hypervisor&) = delete;
  Hypervisor& operator=(const Hypervisor&) = delete;
  virtual ~Hypervisor() = default;

  // Returns when the guest's processors run. After a failure nothing of the VM is left.
  // Errors  kNotFound, kInvalidArgument  VMM, kernel, initrd or disk missing or unusable; the
  //                                      message names the file and what to do
  virtual Result<void> Start(VmSpec spec, Deadline deadline) = 0;

  // A connection to the agent, byte stream, close-on-exec. Waits for the guest to listen where the
  // channel can tell. virtio-serial has one single stream: each call returns a duplicate of it, and
  // bytes wait there until the guest opens its end.
  virtual Result<sys::UniqueFd> ConnectAgent(Deadline deadline) = 0;

  // Plugs a device; where the guest will find it.
  // Errors  kAlreadyExists      a device has this id
  //         kResourceExhausted  no free port or LUN
  virtual Result<GuestAddress> Attach(Device device, Deadline deadline) = 0;
  // Returns when the guest has let go of the device and its files are closed.
  // Errors  kNotFound          no attached device has this id
  //         kDeadlineExceeded  the guest does not answer; the device stays
  virtual Result<void> Detach(const std::string& id, Deadline deadline) = 0;

  // Makes an attached disk larger: a file grows to `bytes`, a block device must have them already.
  // The guest is told. A disk of this size is left as it is.
  // Errors  kNotFound            no attached disk has this id
  //         kInvalidArgument     it is larger than `bytes`
  //         kFailedPrecondition  it is read-only, or its device has not so many
  virtual Result<void> GrowDisk(const std::string& id, uint64_t bytes, Deadline deadline) = 0;

  // Grows towards `wanted` as far as it goes, memory rounded up to what the VMM can plug, at its
  // end down. Smaller values than the present ones change nothing. After an error (the VMM does not
  // answer) what had been added by then stays.
  virtual Result<Resized> Resize(Resources wanted, Deadline deadline) = 0;

  // Stops the guest's processors and writes the state of everything but its memory and disks into
  // the empty directory `folder`, as files. Memory and disks are what the files in the answer hold
  // until Resume, with which this VM goes on as if nothing had been, and may be saved again; so it
  // does after an error, where the processors may stand still.
  // No Attach, Detach or Resize meanwhile.
  // Errors, before anything is stopped  kFailedPrecondition  a device VhostUserFs is there, memory
  //                                     is huge or preallocated, a device is being changed
  virtual Result<SavedVm> Save(const std::string& folder, Deadline deadline) = 0;
  // Goes on where another VM was saved: the one call that a VM with VmSpec::restored waits for. Its
  // memory's files have to hold that VM's memory by now, and its disks what they held. `folder` has
  // what Save wrote, and is this VM's alone: its VMM may write there. The processors stand still on
  // return: Resume lets them run.
  // Errors  kNotFound     there is no saved state in `folder`
  //         kUnavailable  the VMM cannot read the state and has ended
  virtual Result<void> Restore(const std::string& folder, Deadline deadline) = 0;

  virtual Result<void> Pause(Deadline deadline) = 0;
  virtual Result<void> Resume(Deadline deadline) = 0;

  // Ends the VM: asks the VMM to close its disks and go, then kills it. Reaped on return.
  virtual void Stop(std::chrono::milliseconds grace) = 0;

  // Kills the VMM and returns at once; it ends as one that failed. From any thread. Before Start
  // and after its end nothing happens.
  virtual void Kill() = 0;

  // Adds a handler; it runs on the event loop's thread, soon if the VM has ended already. Where the
  // destructor is what ends the VM, it runs after that.
  virtual void OnExit(ExitHandler handler) = 0;

  // Whether a disk that can be written is attached, or was.
  virtual bool has_disks() const = 0;

  // The VMM's pid; -1 before Start.
  virtual pid_t pid() const = 0;
  // The end of what the guest wrote to its console: at most `lines` lines, printable characters
  // only. For error messages.
  virtual std::string ConsoleTail(size_t lines) const = 0;
};

}  // namespace kata::hypervisor
