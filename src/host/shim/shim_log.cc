// SPDX-License-Identifier: Apache-2.0
#include "host/shim/shim_log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "sys/files.h"

namespace kata::shim {

Result<sys::UniqueFd> OpenShimLog(const std::string& bundle) {
  // Open for reading too, the fifo needs no reader to be opened and none to stay: containerd may
  // be restarted.
  auto log = sys::Open(bundle + "/log", O_RDWR | O_APPEND | O_NONBLOCK | O_NOFOLLOW);
  struct stat status{};
  if (log && ::fstat(log->get(), &status) == 0 &&
      (S_ISFIFO(status.st_mode) || S_ISREG(status.st_mode))) {
    return log;
  }
  return sys::Open("/dev/null", O_WRONLY);
}

}  // namespace kata::shim
