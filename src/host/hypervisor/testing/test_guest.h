// SPDX-License-Identifier: Apache-2.0
//
// testing/test_guest.h - what a test needs to boot a guest of its own and to talk to it.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::hypervisor::testing {

// The guest kernel: $KATA_TEST_KERNEL, or the build tree's. Empty when it has not been built.
std::string KernelPath();

// Whether kernel.info beside that kernel has the word `what` among what it lacks.
bool KernelLacks(const std::string& what);

// QEMUs to test: $KATA_TEST_QEMU (separated by ':'), or the system's and, where
// scripts/fetch-qemu has put one, QEMU 10.
std::vector<std::string> QemuPaths();

// An initrd (newc cpio) whose /init is the program testing/guest_init.cc, with the modules that the
// initrd beside the kernel has.
Result<void> WriteTestInitrd(const std::string& path);

// A directory that goes away with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// An event loop on a thread of its own.
class LoopThread {
 public:
  LoopThread();
  ~LoopThread();
  sys::EventLoop& loop() { return *loop_; }

 private:
  std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
};

// Sends a line to the guest's first process and gives its answer; an error's text otherwise.
std::string Ask(int agent_fd, const std::string& line,
                Deadline deadline = Deadline::After(std::chrono::seconds(60)));

}  // namespace kata::hypervisor::testing
