// SPDX-License-Identifier: Apache-2.0
#include "host/machine/mount_namespace.h"

#include <fcntl.h>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

sys::UniqueFd& MountNamespace() {
  static sys::UniqueFd fd;
  return fd;
}

}  // namespace

Result<void> RememberMountNamespace() {
  MountNamespace() = KATA_TRY(sys::Open("/proc/self/ns/mnt", O_RDONLY));
  return {};
}

int RememberedMountNamespace() { return MountNamespace().get(); }

}  // namespace kata::sandbox
