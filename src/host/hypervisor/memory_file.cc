// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

namespace kata::hypervisor {

Result<sys::UniqueFd> MakeMemoryFile(uint32_t mib) {
  sys::UniqueFd file(::memfd_create("guest-memory", MFD_CLOEXEC));
  if (!file) return FailErrno("memfd_create");
  if (::ftruncate(file.get(), static_cast<off_t>(uint64_t{mib} << 20)) != 0) {
    return FailErrno("ftruncate", "guest memory");
  }
  return file;
}

}  // namespace kata::hypervisor
