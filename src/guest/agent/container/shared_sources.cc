// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/shared_sources.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace kata::guest {

void EnterSources(const std::vector<PlannedMount>& mounts) {
  for (const PlannedMount& mount : mounts) {
    if (mount.kind != PlannedMount::Kind::kBind) continue;
    // Files are no automount points.
    const int fd = ::open(mount.source.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) ::close(fd);
  }
}

void ForgetPaths(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    // Who wants to make a name has the host asked whether it is there, however long the answer of
    // before was to hold. Here nothing can be made.
    (void)::mkdir(path.c_str(), 0);
  }
}

}  // namespace kata::guest
