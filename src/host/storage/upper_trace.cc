// SPDX-License-Identifier: Apache-2.0
#include "host/storage/upper_trace.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "host/storage/open_directory.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::storage {
namespace {

// Directories that front ends make and remove while a container runs.
constexpr std::array<std::string_view, 3> kOfFrontEnds = {"merged", "mapped", "empty"};
constexpr mode_t kPermissionBits = 07777;

bool MayStay(const UpperTrace& trace, int parent, const std::string& name) {
  if (trace.entries.contains(name)) return true;
  if (std::ranges::find(kOfFrontEnds, name) == kOfFrontEnds.end()) return false;
  return OpenEntry(parent, name, O_DIRECTORY).has_value();
}

Result<void> RestoreOwner(int directory, const UpperTrace& before) {
  const struct stat now = KATA_TRY(StatusOf(directory));
  const std::string path = sys::DescriptorPath(directory);
  if ((now.st_uid != before.uid || now.st_gid != before.gid) &&
      ::chown(path.c_str(), before.uid, before.gid) != 0) {
    return FailErrno("chown", path);
  }
  if (now.st_mode != before.mode) return sys::ChangeMode(directory, before.mode & kPermissionBits);
  return {};
}

}  // namespace

Result<UpperTrace> TraceUpper(int directory, const std::string& path, const std::string& upper,
                              const std::string& work) {
  const struct stat status = KATA_TRY(StatusOf(directory));
  return UpperTrace{.directory = path,
                    .device = status.st_dev,
                    .inode = status.st_ino,
                    .uid = status.st_uid,
                    .gid = status.st_gid,
                    .mode = status.st_mode,
                    .upper = upper,
                    .work = work,
                    .entries = KATA_TRY(NamesIn(directory))};
}

Result<void> TakeBackUpper(int directory, const UpperTrace& trace) {
  for (const std::string& name : KATA_TRY(NamesIn(directory))) {
    if (MayStay(trace, directory, name)) continue;
    log::Warn("removed what a guest has made", {{"name", name}, {"beside", trace.upper}});
    LogIfFailed(sys::RemoveTree(Below(directory, name)));
  }
  LogIfFailed(RestoreOwner(directory, trace));
  const sys::UniqueFd work = KATA_TRY(OpenEntry(directory, trace.work, O_DIRECTORY));
  return sys::RemoveTree(Below(work.get(), kGuestWork));
}

Result<void> TakeBackUpper(const UpperTrace& trace) {
  const auto directory = sys::Open(trace.directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return {};
  const struct stat status = KATA_TRY(StatusOf(directory->get()));
  if (status.st_dev != trace.device || status.st_ino != trace.inode) return {};
  return TakeBackUpper(directory->get(), trace);
}

}  // namespace kata::storage
