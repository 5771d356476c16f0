// SPDX-License-Identifier: Apache-2.0
#include "host/storage/upper_guard.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/storage/open_directory.h"
#include "host/storage/source_tree.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::storage {
namespace {

constexpr const char* kHidden = "hidden";
constexpr const char* kEmptyDirectory = "empty";
constexpr const char* kEmptyFile = "empty-file";
constexpr const char* kLayer = "layer";

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
  const std::string upper_name = upper.substr(upper.rfind('/') + 1);
  const std::string work_name = work.substr(work.rfind('/') + 1);
  if (!upper.starts_with('/') || parent != LayerOf(work) || upper_name == work_name) {
    return Fail(
        Code::kFailedPrecondition,
        fmt::format("upper layer \"{}\", work directory \"{}\": not neighbours", upper, work));
  }
  Sweep();
  KATA_TRY(Begin());
  guard.directory = KATA_TRY_WITHIN("upper layer", ClonePrivately(parent, mount_namespace));
  guard.hidden = KATA_TRY_WITHIN("upper layer", ClonePrivately(parent, mount_namespace));
  guard.trace = KATA_TRY(TraceUpper(guard.directory.get(), parent, upper_name, work_name));
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
  KATA_TRY(OpenEntry(directory, guard.trace.upper, O_DIRECTORY));
  KATA_TRY(OpenEntry(directory, guard.trace.work, O_DIRECTORY));
  const std::string number = fmt::format("{}", count_++);
  KATA_TRY(MakeDirectory(hidden_.get(), number));
  guard.place = fmt::format("{}/{}", kFolder, number);
  const sys::UniqueFd place = KATA_TRY(OpenEntry(hidden_.get(), number));
  KATA_TRY(sys::AttachMount(guard.hidden.get(), place.get()));
  for (const std::string& name : guard.trace.entries) KATA_TRY(Cover(guard.hidden.get(), name));
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
  for (const std::string& name : guard.trace.entries) {
    if (name != guard.trace.upper && name != guard.trace.work) KATA_TRY(Cover(directory, name));
  }
  const sys::UniqueFd work = KATA_TRY(OpenEntry(directory, guard.trace.work, O_DIRECTORY));
  KATA_TRY(sys::RemoveTree(Below(work.get(), kGuestWork)));
  for (const std::string& name : KATA_TRY(NamesIn(work.get()))) KATA_TRY(Cover(work.get(), name));
  KATA_TRY(MakeDirectory(work.get(), kGuestWork));
  return sys::Unmount(place, MNT_DETACH);
}

UpperGuards::Guard* UpperGuards::Find(const Guard& like) {
  for (Guard& each : guards_) {
    const UpperTrace& trace = each.trace;
    if (trace.device == like.trace.device && trace.inode == like.trace.inode &&
        trace.upper == like.trace.upper && trace.work == like.trace.work) {
      return &each;
    }
  }
  return nullptr;
}

UpperDirectories UpperGuards::Shown(const Guard& guard) {
  const std::string layer = fmt::format("{}/{}", guard.place, kLayer);
  return {.upper = fmt::format("{}/{}", layer, guard.trace.upper),
          .work = fmt::format("{}/{}/{}", layer, guard.trace.work, kGuestWork)};
}

std::vector<UpperTrace> UpperGuards::Traces() const {
  std::vector<UpperTrace> traces;
  for (const Guard& guard : guards_) traces.push_back(guard.trace);
  return traces;
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
    if (!IsGone(guard.directory.get()))
      LogIfFailed(TakeBackUpper(guard.directory.get(), guard.trace));
  }
  guards_.clear();
  hidden_.Reset();
  folder_.Reset();
}

}  // namespace kata::storage
