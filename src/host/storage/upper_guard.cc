// SPDX-License-Identifier: Apache-2.0
#include "host/storage/upper_guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/storage/source_tree.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::storage {
namespace {

constexpr const char* kHidden = "hidden";
constexpr const char* kEmptyDirectory = "empty";
constexpr const char* kEmptyFile = "empty-file";
constexpr const char* kLayer = "layer";
// Directories that front ends make and remove while a container runs.
constexpr std::array<std::string_view, 3> kOfFrontEnds = {"merged", "mapped", "empty"};
constexpr mode_t kPermissionBits = 07777;

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<std::set<std::string>> EntriesOf(int directory) {
  // A descriptor of its own: readdir moves it.
  sys::UniqueFd fd = KATA_TRY(sys::Open(sys::DescriptorPath(directory), O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, DirCloser> dir(::fdopendir(fd.get()));
  if (!dir) return FailErrno("fdopendir");
  (void)fd.Release();
  std::set<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace(name);
  }
  return names;
}

Result<sys::UniqueFd> OpenEntry(int directory, const std::string& name, int flags = 0) {
  const int fd = ::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
  if (fd < 0) return FailErrno("open", name);
  return sys::UniqueFd(fd);
}

Result<struct stat> StatusOf(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return FailErrno("stat");
  return status;
}

std::string LayerOf(const std::string& path) {
  return path.substr(0, std::max<size_t>(path.rfind('/'), 1));
}

// A mount that hears nothing of the host's mounts, and tells it of none.
Result<sys::UniqueFd> ClonePrivately(const std::string& path, int mount_namespace) {
  sys::UniqueFd tree = KATA_TRY(CloneSource(path, false, mount_namespace));
  KATA_TRY(sys::SetMountPropagation(tree.get(), MS_PRIVATE));
  return tree;
}

void Detach(int mount) {
  const std::string path = sys::DescriptorPath(mount);
  if (::umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL) {
    log::Warn("unmount", {{"path", path}});
  }
}

Result<void> MakeDirectory(int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0700) != 0) return FailErrno("mkdir", name);
  return {};
}

std::string Below(int directory, const std::string& name) {
  return fmt::format("{}/{}", sys::DescriptorPath(directory), name);
}

bool MayStay(const std::set<std::string>& entries, int parent, const std::string& name) {
  if (entries.contains(name)) return true;
  if (std::ranges::find(kOfFrontEnds, name) == kOfFrontEnds.end()) return false;
  return OpenEntry(parent, name, O_DIRECTORY).has_value();
}

Result<void> RestoreOwner(int directory, const struct stat& before) {
  const struct stat now = KATA_TRY(StatusOf(directory));
  const std::string path = sys::DescriptorPath(directory);
  if ((now.st_uid != before.st_uid || now.st_gid != before.st_gid) &&
      ::chown(path.c_str(), before.st_uid, before.st_gid) != 0) {
    return FailErrno("chown", path);
  }
  if (now.st_mode != before.st_mode)
    return sys::ChangeMode(directory, before.st_mode & kPermissionBits);
  return {};
}

bool IsGone(int directory) {
  const auto status = StatusOf(directory);
  return !status || status->st_nlink == 0;
}

}  // namespace

Result<UpperDirectories> UpperGuards::Add(const UpperDirectories& directories,
                                          int mount_namespace) {
  const auto [upper, work] = directories;
  const std::string parent = LayerOf(upper);
  Guard guard;
  guard.upper = upper.substr(upper.rfind('/') + 1);
  guard.work = work.substr(work.rfind('/') + 1);
  if (!upper.starts_with('/') || parent != LayerOf(work) || guard.upper == guard.work) {
    return Fail(
        Code::kFailedPrecondition,
        fmt::format("upper layer \"{}\", work directory \"{}\": not neighbours", upper, work));
  }
  Sweep();
  KATA_TRY(Begin());
  guard.directory = KATA_TRY_WITHIN("upper layer", ClonePrivately(parent, mount_namespace));
  guard.hidden = KATA_TRY_WITHIN("upper layer", ClonePrivately(parent, mount_namespace));
  guard.before = KATA_TRY(StatusOf(guard.directory.get()));
  if (const Guard* const same = Find(guard); same != nullptr) return Shown(*same);
  const std::string where = fmt::format("upper layer \"{}\"", upper);
  Rollback undo;
  undo.Add([&] { LetGo(guard); });
  KATA_TRY_WITHIN(where, Hide(guard));
  KATA_TRY_WITHIN(where, Show(guard));
  undo.Release();
  guards_.push_back(std::move(guard));
  return Shown(guards_.back());
}

// Once: the place that nobody may walk to, and what covers.
Result<void> UpperGuards::Begin() {
  if (hidden_) return {};
  const std::string folder = fmt::format("{}/{}", mounts_, kFolder);
  for (const char* name : {kHidden, kEmptyDirectory}) {
    KATA_TRY(sys::MakeDirs(fmt::format("{}/{}", folder, name)));
  }
  KATA_TRY(sys::WriteFile(fmt::format("{}/{}", folder, kEmptyFile), "", 0400));
  folder_ = KATA_TRY(sys::Open(folder, O_PATH | O_DIRECTORY));
  sys::UniqueFd hidden = KATA_TRY(OpenEntry(folder_.get(), kHidden));
  KATA_TRY(Cover(folder_.get(), kHidden));
  hidden_ = std::move(hidden);
  return {};
}

Result<void> UpperGuards::Cover(int directory, const std::string& name) const {
  const sys::UniqueFd entry = KATA_TRY(OpenEntry(directory, name));
  const mode_t type = KATA_TRY(StatusOf(entry.get())).st_mode & S_IFMT;
  if (type != S_IFDIR && type != S_IFREG) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("\"{}\" beside it is neither a file nor a directory", name));
  }
  const sys::UniqueFd cover = KATA_TRY(
      sys::CloneMount(folder_.get(), type == S_IFDIR ? kEmptyDirectory : kEmptyFile, false));
  KATA_TRY(sys::SetMountPropagation(cover.get(), MS_PRIVATE));
  KATA_TRY(sys::SetMountReadOnly(cover.get()));
  return sys::AttachMount(cover.get(), entry.get());
}

// The second mount, with every name in it held.
Result<void> UpperGuards::Hide(Guard& guard) {
  const int directory = guard.directory.get();
  KATA_TRY(OpenEntry(directory, guard.upper, O_DIRECTORY));
  KATA_TRY(OpenEntry(directory, guard.work, O_DIRECTORY));
  guard.entries = KATA_TRY(EntriesOf(directory));
  const std::string number = fmt::format("{}", count_++);
  KATA_TRY(MakeDirectory(hidden_.get(), number));
  guard.place = fmt::format("{}/{}", kFolder, number);
  const sys::UniqueFd place = KATA_TRY(OpenEntry(hidden_.get(), number));
  KATA_TRY(sys::AttachMount(guard.hidden.get(), place.get()));
  for (const std::string& name : guard.entries) KATA_TRY(Cover(guard.hidden.get(), name));
  return {};
}

// The first one, below a cover until it is complete: the guest may be looking.
Result<void> UpperGuards::Show(Guard& guard) {
  const std::string place = fmt::format("{}/{}", mounts_, guard.place);
  KATA_TRY(sys::MakeDirs(fmt::format("{}/{}", place, kLayer)));
  const sys::UniqueFd layer = KATA_TRY(sys::Open(fmt::format("{}/{}", place, kLayer), O_PATH));
  KATA_TRY(Cover(folder_.get(), BaseName(place)));
  KATA_TRY(sys::AttachMount(guard.directory.get(), layer.get()));
  const int directory = guard.directory.get();
  for (const std::string& name : guard.entries) {
    if (name != guard.upper && name != guard.work) KATA_TRY(Cover(directory, name));
  }
  const sys::UniqueFd work = KATA_TRY(OpenEntry(directory, guard.work, O_DIRECTORY));
  KATA_TRY(sys::RemoveTree(Below(work.get(), kGuestWork)));
  for (const std::string& name : KATA_TRY(EntriesOf(work.get()))) KATA_TRY(Cover(work.get(), name));
  KATA_TRY(MakeDirectory(work.get(), kGuestWork));
  return sys::Unmount(place, MNT_DETACH);
}

UpperGuards::Guard* UpperGuards::Find(const Guard& like) {
  for (Guard& each : guards_) {
    if (each.before.st_dev == like.before.st_dev && each.before.st_ino == like.before.st_ino &&
        each.upper == like.upper && each.work == like.work) {
      return &each;
    }
  }
  return nullptr;
}

UpperDirectories UpperGuards::Shown(const Guard& guard) {
  const std::string layer = fmt::format("{}/{}", guard.place, kLayer);
  return {.upper = fmt::format("{}/{}", layer, guard.upper),
          .work = fmt::format("{}/{}/{}", layer, guard.work, kGuestWork)};
}

void UpperGuards::Sweep() {
  std::erase_if(guards_, [this](const Guard& guard) {
    if (!IsGone(guard.directory.get())) return false;
    LetGo(guard);
    return true;
  });
}

void UpperGuards::LetGo(const Guard& guard) const {
  if (guard.place.empty()) return;
  Detach(guard.directory.get());
  Detach(guard.hidden.get());
  // What covered it, if it was not complete.
  const std::string place = fmt::format("{}/{}", mounts_, guard.place);
  (void)::umount2(place.c_str(), MNT_DETACH);
  (void)::rmdir(fmt::format("{}/{}", place, kLayer).c_str());
  (void)::rmdir(place.c_str());
  (void)::unlinkat(hidden_.get(), BaseName(place).c_str(), AT_REMOVEDIR);
}

void UpperGuards::End() {
  for (const Guard& guard : guards_) {
    LetGo(guard);
    if (!IsGone(guard.directory.get())) LogIfFailed(TakeBack(guard));
  }
  guards_.clear();
  hidden_.Reset();
  folder_.Reset();
}

Result<void> UpperGuards::TakeBack(const Guard& guard) {
  const int directory = guard.directory.get();
  for (const std::string& name : KATA_TRY(EntriesOf(directory))) {
    if (MayStay(guard.entries, directory, name)) continue;
    log::Warn("removed what a guest has made", {{"name", name}, {"beside", guard.upper}});
    LogIfFailed(sys::RemoveTree(Below(directory, name)));
  }
  LogIfFailed(RestoreOwner(directory, guard.before));
  const sys::UniqueFd work = KATA_TRY(OpenEntry(directory, guard.work, O_DIRECTORY));
  return sys::RemoveTree(Below(work.get(), kGuestWork));
}

}  // namespace kata::storage
