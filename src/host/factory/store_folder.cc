// SPDX-License-Identifier: Apache-2.0
#include "host/factory/store_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/files.h"

namespace kata::factory {
namespace {

using std::chrono::minutes;
using std::chrono::system_clock;

constexpr auto kFailureHolds = minutes(10);
constexpr size_t kMaxReason = 64 << 10;
constexpr uint64_t kSpareBytes = 64 << 20;  // what a build leaves free on the disk
constexpr auto kLockPause = std::chrono::milliseconds(50);
constexpr mode_t kWritableByOthers = 022;
const std::string kFailed = ".failed-";

bool IsHidden(const std::string& name) { return name.starts_with('.'); }

// Whether a failure is to hold still.
bool IsFresh(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return false;
  return system_clock::now() - system_clock::from_time_t(status.st_mtim.tv_sec) < kFailureHolds;
}

Result<void> Sync(const std::string& directory) {
  const sys::UniqueFd fd = KATA_TRY(sys::Open(directory, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) return FailErrno("fsync", directory);
  return {};
}

}  // namespace

Result<void> StoreFolder::CheckOwner() const {
  struct stat status{};
  if (::stat(root_.c_str(), &status) != 0) return FailErrno("stat", root_);
  if (status.st_uid == ::geteuid() && (status.st_mode & kWritableByOthers) == 0) return {};
  return Fail(Code::kPermissionDenied,
              fmt::format("{} in \"{}\" are not used: others could write them; the "
                          "directory must belong to this user and have mode 0700",
                          what_, root_));
}

Result<void> StoreFolder::CheckSpace(uint64_t needed) const {
  struct statvfs space{};
  if (::statvfs(root_.c_str(), &space) != 0) return FailErrno("statvfs", root_);
  const uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  if (free >= needed + kSpareBytes) return {};
  return Fail(Code::kResourceExhausted,
              fmt::format("no space for {} in \"{}\": {} MiB are free, {} are needed; free some, "
                          "or set {} in configuration.toml",
                          what_, root_, free >> 20, (needed + kSpareBytes) >> 20, key_));
}

std::vector<std::string> StoreFolder::Names() const {
  std::vector<std::pair<int64_t, std::string>> used;
  for (std::string& name : sys::ListDirectory(root_)) {
    if (IsHidden(name)) continue;
    if (const auto when = LastUse(name)) used.emplace_back(*when, std::move(name));
  }
  std::ranges::sort(used, std::greater());
  std::vector<std::string> names;
  for (auto& [when, name] : used) names.push_back(std::move(name));
  return names;
}

void StoreFolder::NoteUse(const std::string& name) const {
  (void)::utimensat(AT_FDCWD, Path(name).c_str(), nullptr, 0);
}

Result<int64_t> StoreFolder::LastUse(const std::string& name) const {
  struct stat status{};
  if (::stat(Path(name).c_str(), &status) != 0) return FailErrno("stat", Path(name));
  return status.st_mtim.tv_sec;
}

Result<void> StoreFolder::Remove(const std::string& name) const {
  (void)sys::RemoveFile(Path(kFailed + name));
  const std::string hidden = Path(fmt::format(".gone-{}-{}", name, ::getpid()));
  if (::rename(Path(name).c_str(), hidden.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return FailErrno("rename", Path(name));
  }
  return sys::RemoveTree(hidden);
}

Result<std::optional<sys::UniqueFd>> StoreFolder::TryLock() const {
  KATA_TRY(sys::MakeDirs(root_, 0700));
  KATA_TRY(CheckOwner());
  sys::UniqueFd lock = KATA_TRY(sys::Open(Path(".lock"), O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
    return std::optional(std::move(lock));
  }
  if (errno == EWOULDBLOCK) return std::nullopt;
  return FailErrno("lock", root_);
}

Result<sys::UniqueFd> StoreFolder::Lock(Deadline deadline) const {
  for (;;) {
    if (auto lock = KATA_TRY(TryLock())) return *std::move(lock);
    if (deadline.Passed()) {
      return Fail(Code::kDeadlineExceeded,
                  fmt::format("{} in \"{}\" are being built by another process", what_, root_));
    }
    std::this_thread::sleep_for(kLockPause);
  }
}

Result<std::string> StoreFolder::MakeFolder(const std::string& name) const {
  std::string folder = Path(name);
  KATA_TRY(sys::RemoveTree(folder));
  KATA_TRY(sys::MakeDirs(folder, 0700));
  return folder;
}

Result<void> StoreFolder::Publish(const std::string& folder, const std::string& name,
                                  bool sync) const {
  if (sync) KATA_TRY(Sync(folder));
  KATA_TRY(Remove(name));
  if (::rename(folder.c_str(), Path(name).c_str()) != 0) return FailErrno("rename", folder);
  if (sync) KATA_TRY(Sync(root_));
  return {};
}

void StoreFolder::RemoveLeavings() const {
  for (const std::string& name : sys::ListDirectory(root_)) {
    if (name.starts_with(".new-") || name.starts_with(".gone-")) {
      LogIfFailed(sys::RemoveTree(Path(name)));
    }
  }
}

void StoreFolder::NoteFailure(const std::string& name, const std::string& reason) const {
  // Those of keys that nobody uses any more hold no longer, and nobody else comes by.
  for (const std::string& note : sys::ListDirectory(root_)) {
    if (note.starts_with(kFailed) && !IsFresh(Path(note))) (void)sys::RemoveFile(Path(note));
  }
  LogIfFailed(sys::WriteFile(Path(kFailed + name), reason, 0600));
}

bool StoreFolder::FailedLately(const std::string& name) const {
  return IsFresh(Path(kFailed + name));
}

std::vector<std::string> StoreFolder::Failures() const {
  std::vector<std::string> reasons;
  for (const std::string& name : sys::ListDirectory(root_)) {
    if (!name.starts_with(kFailed) || !IsFresh(Path(name))) continue;
    reasons.push_back(sys::ReadFile(Path(name), kMaxReason).value_or(""));
  }
  return reasons;
}

}  // namespace kata::factory
