// SPDX-License-Identifier: Apache-2.0
//
// kata-stand-in: one for each container process that kata-runtime has started. Linked statically
// and without what it does not need, because hundreds of them may live on a host.
//
// It is also what `kata-runtime doctor` runs in its container: the one program of ours that needs
// no file beside itself.
#include <csignal>
#include <cstring>

#include "host/cli/doctor/probe.h"
#include "host/cli/oci/stand_in.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc > 1 && std::strcmp(argv[1], kata::cli::doctor::kProbeWord) == 0) {
    return kata::cli::doctor::RunProbe({argv, static_cast<size_t>(argc)});
  }
  return kata::cli::oci::RunStandIn({argv, static_cast<size_t>(argc)});
}
