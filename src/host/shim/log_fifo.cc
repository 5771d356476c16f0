// SPDX-License-Identifier: Apache-2.0
#include "host/shim/log_fifo.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "sys/file.h"

namespace kata::shim {

Result<sys::UniqueFd> OpenLogFifo(const std::string& bundle) {
  // Open for reading too, the fifo needs no reader to be opened and none to stay: containerd may
  // be restarted.
  auto fifo = sys::Open(bundle + "/log", O_RDWR | O_NONBLOCK | O_NOFOLLOW);
  struct stat status{};
  if (fifo && ::fstat(fifo->get(), &status) == 0 && S_ISFIFO(status.st_mode)) return fifo;
  return sys::Open("/dev/null", O_WRONLY);
}

}  // namespace kata::shim
