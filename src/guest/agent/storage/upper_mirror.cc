// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/upper_mirror.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <utility>

#include <fmt/format.h>

#include "guest/agent/storage/file_copy.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "upper/attributes.h"
#include "upper/names.h"

namespace kata::guest {
namespace {

// Of the stack; names longer than the kernel takes in one go lie deeper.
constexpr int kDeepest = 4096;

class Umask {
 public:
  Umask() : before_(::umask(0)) {}
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;
  ~Umask() { ::umask(before_); }

 private:
  mode_t before_;
};

// The same directory on both sides; `path` is relative to their tops, for errors and hard links.
struct Level {
  int from = -1;
  int to = -1;
  std::string path;
  int depth = 0;

  std::string PathOf(const std::string& name) const {
    return path.empty() ? name : fmt::format("{}/{}", path, name);
  }
};

class Mirror {
 public:
  Mirror(int top, const MirrorTimes& times) : top_(top), times_(times) {}

  // Entries first: they change the directory's own times.
  Result<void> Directory(const Level& level);
  const MirrorReport& report() const { return report_; }

 private:
  Result<void> RemoveOthers(const Level& level);
  Result<void> RemoveOther(const Level& level, const std::string& name);
  Result<void> Entry(const Level& level, const std::string& name);
  Result<void> SubDirectory(const Level& level, const std::string& name, bool exists);
  Result<void> File(const Level& level, const std::string& name, const struct stat& status);
  // True when the file is a further name of one that was copied, and has been made that.
  Result<bool> Link(const Level& level, const std::string& name, const struct stat& status);
  bool Unchanged(const struct stat& from, const struct stat& to) const;

  int top_;  // of the target
  MirrorTimes times_;
  MirrorReport report_;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;  // the first name of each
};

// False where there is nothing of that name.
Result<bool> Look(int directory, const std::string& name, struct stat* status) {
  if (::fstatat(directory, name.c_str(), status, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno == ENOENT) return false;
  return FailErrno("stat", name);
}

Result<sys::UniqueFd> OpenDirectory(int directory, const std::string& name) {
  sys::UniqueFd fd(
      ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return FailErrno("open", name);
  return fd;
}

bool Mirror::Unchanged(const struct stat& from, const struct stat& to) const {
  return upper::Later(times_.unchanged_before, from.st_ctim) &&
         (from.st_mode & S_IFMT) == (to.st_mode & S_IFMT) && from.st_size == to.st_size &&
         upper::SameTime(from.st_mtim, to.st_mtim);
}

Result<void> Mirror::RemoveOther(const Level& level, const std::string& name) {
  struct stat there{};
  if (!KATA_TRY(Look(level.to, name, &there))) return {};
  const bool stays =
      times_.kept_after.tv_sec != 0 && upper::Later(there.st_ctim, times_.kept_after);
  if (stays) return {};
  ++report_.removed;
  return sys::RemoveTree(fmt::format("{}/{}", sys::DescriptorPath(level.to), name));
}

Result<void> Mirror::RemoveOthers(const Level& level) {
  for (const std::string& name : KATA_TRY(upper::SortedNames(level.to))) {
    struct stat here{};
    if (!KATA_TRY(Look(level.from, name, &here))) KATA_TRY(RemoveOther(level, name));
  }
  return {};
}

Result<void> Mirror::Directory(const Level& level) {
  if (level.depth > kDeepest) {
    return Fail(Code::kOutOfRange, fmt::format("directories more than {} deep", kDeepest));
  }
  KATA_TRY(RemoveOthers(level));
  for (const std::string& name : KATA_TRY(upper::SortedNames(level.from))) {
    auto copied = Entry(level, name);
    if (!copied && level.depth == 0) return std::unexpected(copied.error().Within(name));
    KATA_TRY(std::move(copied));
  }
  const auto lost = KATA_TRY(CopyDirectoryAttributes(level.from, level.to));
  report_.lost_attributes += lost;
  return {};
}

Result<void> Mirror::Entry(const Level& level, const std::string& name) {
  struct stat here{};
  struct stat there{};
  if (!KATA_TRY(Look(level.from, name, &here))) return {};
  const bool exists = KATA_TRY(Look(level.to, name, &there));
  const bool both_directories = exists && S_ISDIR(here.st_mode) && S_ISDIR(there.st_mode);
  if (exists && !both_directories) {
    if (!S_ISDIR(here.st_mode) && Unchanged(here, there)) {
      if (here.st_nlink > 1) linked_.try_emplace({here.st_dev, here.st_ino}, level.PathOf(name));
      return {};
    }
    KATA_TRY(sys::RemoveTree(fmt::format("{}/{}", sys::DescriptorPath(level.to), name)));
  }
  if (S_ISDIR(here.st_mode)) return SubDirectory(level, name, both_directories);
  return File(level, name, here);
}

Result<void> Mirror::SubDirectory(const Level& level, const std::string& name, bool exists) {
  constexpr mode_t kOwnerOnly = 0700;  // until it has its owner
  if (!exists && ::mkdirat(level.to, name.c_str(), kOwnerOnly) != 0) {
    return FailErrno("mkdir", level.PathOf(name));
  }
  const sys::UniqueFd from = KATA_TRY(OpenDirectory(level.from, name));
  const sys::UniqueFd to = KATA_TRY(OpenDirectory(level.to, name));
  return Directory(
      {.from = from.get(), .to = to.get(), .path = level.PathOf(name), .depth = level.depth + 1});
}

Result<bool> Mirror::Link(const Level& level, const std::string& name, const struct stat& status) {
  // Whiteouts are many names of one inode, which may have as many as it likes on one side only.
  if (status.st_nlink < 2 || S_ISCHR(status.st_mode)) return false;
  const auto [first, is_new] =
      linked_.try_emplace({status.st_dev, status.st_ino}, level.PathOf(name));
  if (is_new) return false;
  if (::linkat(top_, first->second.c_str(), level.to, name.c_str(), 0) == 0) return true;
  if (errno == EMLINK || errno == ENAMETOOLONG) return false;
  return FailErrno("link", level.PathOf(name));
}

Result<void> Mirror::File(const Level& level, const std::string& name, const struct stat& status) {
  if (KATA_TRY(Link(level, name, status))) return {};
  const auto copied =
      KATA_TRY_WITHIN(level.PathOf(name), CopyFileTo(level.from, level.to, name, status));
  ++report_.copied;
  report_.bytes += copied.bytes;
  report_.lost_attributes += copied.lost_attributes;
  return {};
}

}  // namespace

Result<MirrorReport> MirrorUpper(const std::string& from, const std::string& to,
                                 const MirrorTimes& times) {
  const Umask umask;
  const sys::UniqueFd source = KATA_TRY(sys::Open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const sys::UniqueFd target = KATA_TRY(sys::Open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  Mirror mirror(target.get(), times);
  KATA_TRY(mirror.Directory({.from = source.get(), .to = target.get(), .path = "", .depth = 0}));
  return mirror.report();
}

}  // namespace kata::guest
