// SPDX-License-Identifier: Apache-2.0
//
// kata-stand-in: one for each container process that kata-runtime has started. Linked statically
// and without what it does not need, because hundreds of them may live on a host.
#include <csignal>

#include "host/cli/oci/stand_in.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  return kata::cli::oci::RunStandIn({argv, static_cast<size_t>(argc)});
}
