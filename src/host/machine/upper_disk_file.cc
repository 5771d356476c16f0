// SPDX-License-Identifier: Apache-2.0
#include "host/machine/upper_disk_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "host/machine/mount_namespace.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::sandbox {
namespace {

// No front end has an entry of this name there.
constexpr const char* kUpperDisk = "kata-upper.ext4";

std::string ParentOf(const std::string& path) {
  return path.substr(0, std::max<size_t>(path.rfind('/'), 1));
}

}  // namespace

UpperDiskFile::UpperDiskFile(const std::string& upper)
    : image_({.directory = ParentOf(upper), .name = kUpperDisk}) {}

bool UpperDiskFile::exists() const { return sys::Exists(image_.Path()); }

Result<void> UpperDiskFile::Open(uint64_t size) {
  taken_over_ = exists();
  file_ = KATA_TRY(storage::OpenDataImage(image_, static_cast<int64_t>(size), -1));
  return {};
}

Result<void> UpperDiskFile::MakeAnew(uint64_t size) {
  KATA_TRY(Remove());
  constexpr mode_t kMode = 0600;
  file_ = KATA_TRY(sys::Open(image_.Path(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, kMode));
  if (::ftruncate(file_.get(), static_cast<off_t>(size)) == 0) return {};
  auto failed = FailErrno("ftruncate", image_.Path());
  LogIfFailed(Remove());
  return failed;
}

// A guest that was asked to remove a container which it was about to create has brought nothing
// back.
void UpperDiskFile::Settle(const std::string& container_id, bool created, bool back) const {
  if (created ? back : !taken_over()) return LogIfFailed(Remove());
  log::Error("the container's files were not brought back; its next start goes on with them",
             {{"container", container_id}, {"disk", path()}});
}

// Here its name is held as long as the guest has the upper directory (upper_guard.h).
Result<void> UpperDiskFile::Remove() const {
  const auto remove = [this] { return sys::RemoveFile(image_.Path()); };
  const int elsewhere = RememberedMountNamespace();
  return elsewhere < 0 ? remove() : sys::RunInMountNamespace(elsewhere, remove);
}

}  // namespace kata::sandbox
