// SPDX-License-Identifier: Apache-2.0
#include "sys/netns.h"

#include <fcntl.h>
#include <sched.h>

#include <thread>

#include "sys/file.h"

namespace kata::sys {

Result<UniqueFd> MakeNetworkNamespace() {
  Result<UniqueFd> made = UniqueFd();
  // A namespace belongs to a thread, so this is done by one that ends.
  std::thread([&made] {
    if (::unshare(CLONE_NEWNET) != 0) {
      made = FailErrno("make a network namespace");
    } else {
      made = Open("/proc/thread-self/ns/net", O_RDONLY);
    }
  }).join();
  return made;
}

}  // namespace kata::sys
