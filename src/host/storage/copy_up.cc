// SPDX-License-Identifier: Apache-2.0
#include "host/storage/copy_up.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "sys/files.h"
#include "sys/root_dir.h"

namespace kata::storage {
namespace {

constexpr mode_t kModeBits = 07777;

}  // namespace

Result<void> CopyUpDirectories(const std::string& root,
                               const std::vector<std::string>& directories) {
  const sys::RootDir top(KATA_TRY(sys::Open(root, O_PATH | O_DIRECTORY)));
  for (const std::string& path : directories) {
    const auto directory = top.Open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (!directory) continue;
    struct stat status{};
    if (::fstat(directory->get(), &status) != 0) return FailErrno("stat", path);
    // Whatever is set, an overlay copies first, with all that is above.
    if (::fchmod(directory->get(), status.st_mode & kModeBits) != 0 && errno != EROFS) {
      return FailErrno("copy up", path);
    }
  }
  return {};
}

}  // namespace kata::storage
