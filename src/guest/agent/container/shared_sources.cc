// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/shared_sources.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/mounts.h"
#include "sys/root_dir.h"

namespace kata::guest {
namespace {

// Who looks for what a rename would replace has the host asked whether it is there, however long
// the answer of before was to hold. This one is to replace nothing, and changes nothing.
void LookAnew(int parent, const char* name) {
  (void)::renameat2(parent, name, parent, name, RENAME_NOREPLACE);
}

void ForgetPath(const std::string& path) {
  // Containers may write on the way.
  const sys::RootDir root(sys::UniqueFd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  const size_t slash = path.rfind('/');
  const auto parent = root.OpenStrict(path.substr(0, slash), O_PATH | O_DIRECTORY);
  if (!parent) return;
  const char* const name = path.c_str() + slash + 1;
  const sys::UniqueFd entry(::openat(parent->get(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct statx status{};
  const bool mounted = entry && ::statx(entry.get(), "", AT_EMPTY_PATH, 0, &status) == 0 &&
                       (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  if (mounted) ::umount2(sys::DescriptorPath(entry.get()).c_str(), MNT_DETACH);
  LookAnew(parent->get(), name);
}

}  // namespace

void EnterSources(const std::vector<PlannedMount>& mounts) {
  for (const PlannedMount& mount : mounts) {
    if (mount.kind != PlannedMount::Kind::kBind) continue;
    // Files are no automount points.
    const int fd = ::open(mount.source.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) ::close(fd);
  }
}

void ForgetPaths(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) ForgetPath(path);
}

}  // namespace kata::guest
