// SPDX-License-Identifier: Apache-2.0
//
// host/machine/machine_host.h - what a machine takes from the host that it runs on.
//
// The seam below which unit tests put a host of their own (testing/fake_host.h): a VMM that is a
// sleeping process, no network, and directories that need no root. With shared_fs = "none" nothing
// else of a machine needs any.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "host/hypervisor/hypervisor.h"
#include "host/machine/guest_network.h"
#include "host/record/cleanup.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

struct MachineHost {
  // Where given, in place of that of the VMM that the configuration names.
  std::function<std::unique_ptr<hypervisor::Hypervisor>(sys::EventLoop&)> make_vmm;
  // As GuestNetwork::Open. Null in place of a network: the guest has none.
  std::function<Result<std::unique_ptr<GuestNetwork>>(const std::string& path,
                                                      network::Model model)>
      open_network;
  std::string vm_root = "/run/vc/vm";  // holds a directory a machine
  CleanupRoots roots;                  // where its record is, and what may be removed
};

// Network namespaces and the usual directories.
MachineHost ThisHost();

}  // namespace kata::sandbox
