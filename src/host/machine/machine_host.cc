// SPDX-License-Identifier: Apache-2.0
#include "host/machine/machine_host.h"

namespace kata::sandbox {

MachineHost ThisHost() {
  MachineHost host;
  host.open_network = &GuestNetwork::Open;
  return host;
}

}  // namespace kata::sandbox
