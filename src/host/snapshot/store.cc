// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/files.h"

namespace kata::snapshot {
namespace {

constexpr char kManifest[] = "/manifest.json";
const std::string kNew = ".new-";
const std::string kGone = ".gone-";
constexpr uint64_t kPartOfFileSystem = 10;
constexpr uint64_t kStatBlock = 512;

Result<sys::UniqueFd> OpenFolder(const std::string& path) {
  return sys::Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Result<void> Sync(const std::string& directory) {
  const sys::UniqueFd fd = KATA_TRY(OpenFolder(directory));
  if (::fsync(fd.get()) != 0) return FailErrno("fsync", directory);
  return {};
}

// What the files in `directory`, and in directories there, take on the disk.
uint64_t BytesIn(const std::string& directory) {
  uint64_t bytes = 0;
  for (const std::string& name : sys::ListDirectory(directory)) {
    const std::string path = directory + "/" + name;
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) continue;
    bytes += static_cast<uint64_t>(status.st_blocks) * kStatBlock;
    if (S_ISDIR(status.st_mode)) bytes += BytesIn(path);
  }
  return bytes;
}

// Whether `folder` is still what `path` names: who locks it may come after a rename.
bool IsAt(int folder, const std::string& path) {
  struct stat here{};
  struct stat there{};
  return ::fstat(folder, &here) == 0 && ::lstat(path.c_str(), &there) == 0 &&
         here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

// The right to remove what nobody reads or writes; none while somebody does.
sys::UniqueFd TryLock(const std::string& path) {
  auto folder = OpenFolder(path);
  if (!folder || ::flock(folder->get(), LOCK_EX | LOCK_NB) != 0) return {};
  return IsAt(folder->get(), path) ? *std::move(folder) : sys::UniqueFd();
}

bool IsSnapshot(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace

Store::Fresh::~Fresh() {
  if (!folder_.empty()) LogIfFailed(sys::RemoveTree(folder_));
}

std::string Store::Fresh::Path(std::string_view name) const {
  return fmt::format("{}/{}", folder_, name);
}

Result<Store::Fresh> Store::Begin(const std::string& id) const {
  if (!IsId(id)) {
    constexpr size_t kShown = 80;
    return Fail(Code::kInvalidArgument,
                fmt::format("snapshot \"{}\": a name has up to 64 lower-case letters, digits, '-' "
                            "and '_', a letter or digit first",
                            id.substr(0, kShown)));
  }
  KATA_TRY(sys::MakeDirs(root(), 0700));
  KATA_TRY(folder_.CheckOwner());
  RemoveLeavings();
  KATA_TRY(folder_.CheckSpace(0));
  const auto taken = [&] {
    return Fail(Code::kAlreadyExists, fmt::format("there is a snapshot \"{}\" already", id));
  };
  if (sys::Exists(Path(id))) return taken();
  std::string folder = Path(kNew + id);
  if (::mkdir(folder.c_str(), 0700) != 0) {
    if (errno == EEXIST) return taken();
    return FailErrno("mkdir", folder);
  }
  auto lock = OpenFolder(folder);
  // Somebody who clears up may have been faster than the lock.
  if (!lock || ::flock(lock->get(), LOCK_EX | LOCK_NB) != 0 || !IsAt(lock->get(), folder)) {
    return Fail(Code::kAborted, fmt::format("snapshot \"{}\" was cleared away: try again", id));
  }
  Fresh fresh(id, std::move(folder), *std::move(lock));
  KATA_TRY(sys::MakeDirs(fresh.Path("state"), 0700));
  return fresh;
}

Result<void> Store::Publish(Fresh fresh, const Manifest& manifest) const {
  const std::string path = fresh.Path("manifest.json");
  KATA_TRY(sys::WriteFile(path, Format(manifest), 0400));
  const sys::UniqueFd file = KATA_TRY(sys::Open(path, O_RDONLY));
  if (::fsync(file.get()) != 0) return FailErrno("fsync", path);
  KATA_TRY(Sync(fresh.Path("state")));
  KATA_TRY(Sync(fresh.folder_));
  const uint64_t quota = KATA_TRY(Quota());
  const uint64_t bytes = BytesIn(fresh.folder_);
  if (bytes > quota) {
    return Fail(Code::kResourceExhausted,
                fmt::format("snapshot \"{}\" takes {} MiB, and all in \"{}\" may take {}: raise "
                            "snapshot.quota_mb in configuration.toml",
                            fresh.id_, bytes >> 20, root(), quota >> 20));
  }
  const std::string published = Path(fresh.id_);
  if (::renameat2(AT_FDCWD, fresh.folder_.c_str(), AT_FDCWD, published.c_str(), RENAME_NOREPLACE) !=
      0) {
    if (errno != EEXIST) return FailErrno("rename", fresh.folder_);
    return Fail(Code::kAlreadyExists, fmt::format("there is a snapshot \"{}\" already", fresh.id_));
  }
  fresh.folder_.clear();
  KATA_TRY(Sync(root()));
  if (const auto room = MakeRoom(quota, fresh.id_); !room) {
    log::Warn("no room is made for snapshots", {{"error", room.error().message()}});
  }
  return {};
}

Result<Store::Opened> Store::Open(const std::string& id) const {
  const auto missing = [&] {
    constexpr size_t kShown = 80;
    return Fail(Code::kNotFound,
                fmt::format("there is no snapshot \"{}\" in \"{}\": it was removed, or has made "
                            "room for others (snapshot.quota_mb in configuration.toml)",
                            id.substr(0, kShown), root()));
  };
  if (!IsId(id) || !IsSnapshot(Path(id))) return missing();
  KATA_TRY(folder_.CheckOwner());
  auto lock = OpenFolder(Path(id));
  // Waits for nobody: whoever removes it has it alone.
  if (!lock || ::flock(lock->get(), LOCK_SH | LOCK_NB) != 0 || !IsAt(lock->get(), Path(id))) {
    return missing();
  }
  // By the descriptor, wherever the folder is moved.
  std::string path = fmt::format("/proc/self/fd/{}", lock->get());
  auto text = sys::ReadFile(path + kManifest, kMaxManifest);
  if (!text) {
    return Fail(Code::kDataLoss,
                fmt::format("snapshot \"{}\" is damaged: {}", id, text.error().message()));
  }
  Opened opened{.manifest = KATA_TRY_WITHIN(fmt::format("snapshot \"{}\"", id), Parse(*text)),
                .path = std::move(path),
                .lock = *std::move(lock)};
  if (opened.manifest.id != id) {
    return Fail(Code::kDataLoss,
                fmt::format("snapshot \"{}\" is damaged: it says that it is \"{}\"", id,
                            opened.manifest.id));
  }
  folder_.NoteUse(id);
  return opened;
}

std::vector<Store::Entry> Store::List() const {
  std::vector<Entry> list;
  for (const std::string& id : folder_.Names()) {
    const std::string path = Path(id);
    const auto used = folder_.LastUse(id);
    if (!used || !IsId(id) || !IsSnapshot(path)) continue;
    auto text = sys::ReadFile(path + kManifest, kMaxManifest);
    list.push_back({.id = id,
                    .bytes = BytesIn(path),
                    .used = *used,
                    .manifest = text ? Parse(*text)
                                     : Result<Manifest>(std::unexpected(std::move(text).error()))});
  }
  return list;
}

Result<void> Store::Remove(const std::string& id) const {
  const auto folder = IsId(id) ? OpenFolder(Path(id)) : Fail(Code::kNotFound, "");
  const bool alone = folder && ::flock(folder->get(), LOCK_EX | LOCK_NB) == 0;
  if (folder) {
    // Out of sight first: nobody finds half of it.
    const std::string hidden = Path(fmt::format("{}{}-{}", kGone, id, ::getpid()));
    if (::rename(Path(id).c_str(), hidden.c_str()) == 0) {
      return alone ? sys::RemoveTree(hidden) : Result<void>();
    }
    if (errno != ENOENT) return FailErrno("rename", Path(id));
  }
  constexpr size_t kShown = 80;
  return Fail(Code::kNotFound, fmt::format("there is no snapshot \"{}\"", id.substr(0, kShown)));
}

void Store::RemoveLeavings() const {
  for (const std::string& name : sys::ListDirectory(root())) {
    if (!name.starts_with(kNew) && !name.starts_with(kGone)) continue;
    if (const sys::UniqueFd lock = TryLock(Path(name))) LogIfFailed(sys::RemoveTree(Path(name)));
  }
}

Result<std::vector<std::string>> Store::MakeRoom(uint64_t bytes, const std::string& except) const {
  std::vector<std::string> removed;
  std::vector<Entry> list = List();
  uint64_t sum = 0;
  for (const Entry& entry : list) sum += entry.bytes;
  for (; sum > bytes && !list.empty(); list.pop_back()) {
    const Entry& last = list.back();
    if (last.id == except) continue;
    const auto gone = Remove(last.id);
    if (!gone && gone.error().code() != Code::kNotFound) return std::unexpected(gone.error());
    log::Info("a snapshot has made room for others", {{"snapshot", last.id}});
    removed.push_back(last.id);
    sum -= last.bytes;
  }
  return removed;
}

Result<std::vector<std::string>> Store::Prune(uint64_t bytes) const {
  RemoveLeavings();
  return MakeRoom(bytes, "");
}

Result<uint64_t> Store::Quota() const {
  if (quota_mib_ > 0) return static_cast<uint64_t>(quota_mib_) << 20;
  struct statvfs space{};
  if (::statvfs(root().c_str(), &space) != 0) return FailErrno("statvfs", root());
  return static_cast<uint64_t>(space.f_blocks) * space.f_frsize / kPartOfFileSystem;
}

}  // namespace kata::snapshot
