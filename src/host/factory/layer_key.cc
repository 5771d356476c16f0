// SPDX-License-Identifier: Apache-2.0
#include "host/factory/layer_key.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/sha256.h"
#include "sys/files.h"

namespace kata::factory {
namespace {

constexpr int kKeyVersion = 1;
constexpr int kMaxDepth = 512;
constexpr int64_t kNanoseconds = 1'000'000'000;
constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
// linux/magic.h of Debian 12 lacks them.
constexpr unsigned long kBcachefs = 0xca451a4e;
constexpr unsigned long kZfs = 0x2fc12fc1;
constexpr unsigned long kXfs = 0x58465342;

// File systems of this host alone: what changes in them changes through this kernel, which notes
// the time.
constexpr std::array kLocal = {EXT4_SUPER_MAGIC + 0UL,
                               BTRFS_SUPER_MAGIC + 0UL,
                               TMPFS_MAGIC + 0UL,
                               F2FS_SUPER_MAGIC + 0UL,
                               EROFS_SUPER_MAGIC_V1 + 0UL,
                               SQUASHFS_MAGIC + 0UL,
                               kBcachefs,
                               kZfs,
                               kXfs};

std::unexpected<Error> NoImage(const std::string& subject, std::string_view reason) {
  return Fail(Code::kUnimplemented, fmt::format("layer \"{}\": {}", subject, reason));
}

Result<void> CheckFileSystem(const std::string& directory, int fd) {
  struct statfs system{};
  if (::fstatfs(fd, &system) != 0) return FailErrno("statfs", directory);
  const auto type = static_cast<unsigned long>(system.f_type);
  if (std::ranges::find(kLocal, type) != kLocal.end()) return {};
  return NoImage(directory,
                 fmt::format("it is on a file system of type 0x{:x}, which others may change "
                             "unseen",
                             type));
}

class Walk {
 public:
  Walk(std::string root, Deadline deadline, uint64_t most, std::stop_token stop)
      : root_(std::move(root)), deadline_(deadline), most_(most), stop_(std::move(stop)) {}

  Result<LayerKey> Run() {
    sys::UniqueFd top = KATA_TRY(sys::Open(root_, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME));
    KATA_TRY(CheckFileSystem(root_, top.get()));
    struct statx status{};
    if (::statx(top.get(), "", AT_EMPTY_PATH, kWanted, &status) != 0) {
      return FailErrno("statx", root_);
    }
    mount_ = status.stx_mnt_id;
    Add(fmt::format("layer {} {}:{} {}.{}", kKeyVersion, status.stx_dev_major, status.stx_dev_minor,
                    status.stx_btime.tv_sec, status.stx_btime.tv_nsec));
    AddEntry(root_, status);
    KATA_TRY(Enter(std::move(top), 0));
    key_.name = hash_.Finish();
    key_.directory = root_;
    return std::move(key_);
  }

 private:
  void Add(std::string_view text) {
    hash_.Add(text);
    hash_.Add(std::string_view("\0", 1));  // which is part of no name
  }

  void AddEntry(std::string_view name, const struct statx& status) {
    Add(name);
    const std::array<int64_t, 9> numbers = {
        static_cast<int64_t>(status.stx_ino),
        status.stx_mode,
        static_cast<int64_t>(status.stx_size),
        static_cast<int64_t>(makedev(status.stx_rdev_major, status.stx_rdev_minor)),
        static_cast<int64_t>(uint64_t{status.stx_uid} << 32 | status.stx_gid),
        status.stx_mtime.tv_sec,
        status.stx_mtime.tv_nsec,
        status.stx_ctime.tv_sec,
        status.stx_ctime.tv_nsec};
    hash_.Add({reinterpret_cast<const char*>(numbers.data()), sizeof numbers});
    const int64_t changed = status.stx_ctime.tv_sec * kNanoseconds + status.stx_ctime.tv_nsec;
    key_.newest_change = std::max(key_.newest_change, changed);
  }

  // The directory's entries, in the order of their names: that of the file system is its own
  // affair.
  Result<void> Enter(sys::UniqueFd directory, int depth) {
    if (depth > kMaxDepth) return NoImage(path_, "its directories nest too deeply");
    if (KATA_TRY(Has("trusted.overlay.redirect", directory.get()))) {
      return NoImage(path_, "it is a renamed directory of another layer");
    }
    std::vector<std::string> names = KATA_TRY(NamesIn(directory));
    std::ranges::sort(names);
    const size_t length = path_.size();
    for (const std::string& name : names) {
      path_.append("/").append(name);
      KATA_TRY(Look(directory.get(), name, depth));
      path_.resize(length);
    }
    Add("/");  // which no name is: the end of this directory
    return {};
  }

  Result<std::vector<std::string>> NamesIn(const sys::UniqueFd& directory) {
    sys::UniqueFd again = KATA_TRY(sys::Duplicate(directory.get()));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(again.get()), ::closedir);
    if (!stream) return FailErrno("open", path_);
    (void)again.Release();
    std::vector<std::string> names;
    for (errno = 0; const dirent* entry = ::readdir(stream.get()); errno = 0) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      names.emplace_back(name);
      if (++key_.entries > most_) {
        return Fail(Code::kOutOfRange,
                    fmt::format("layer \"{}\": more than {} entries", root_, most_));
      }
    }
    if (errno != 0) return FailErrno("read directory", path_);
    return names;
  }

  Result<void> Look(int parent, const std::string& name, int depth) {
    if (stop_.stop_requested()) {
      return Fail(Code::kCancelled,
                  fmt::format("layer \"{}\": nobody wants its key any more", root_));
    }
    if (deadline_.Passed()) {
      return Fail(Code::kDeadlineExceeded,
                  fmt::format("layer \"{}\": its {} entries or more were not looked at in time",
                              root_, key_.entries));
    }
    struct statx status{};
    if (::statx(parent, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, kWanted, &status) !=
        0) {
      return Gone("statx");
    }
    if (status.stx_mnt_id != mount_) return NoImage(path_, "something is mounted there");
    AddEntry(name, status);
    if (S_ISREG(status.stx_mode)) {
      key_.bytes += status.stx_size;
      if (KATA_TRY(Has("trusted.overlay.metacopy", -1))) {
        return NoImage(path_, "its content is in another layer");
      }
    }
    if (!S_ISDIR(status.stx_mode)) return {};
    sys::UniqueFd child(::openat(parent, name.c_str(),
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
    if (!child) return Gone("open");
    return Enter(std::move(child), depth + 1);
  }

  std::unexpected<Error> Gone(std::string_view operation) const {
    if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) return FailErrno(operation, path_);
    return Fail(Code::kAborted, fmt::format("layer \"{}\": it changes meanwhile", path_));
  }

  // Of the open file, else of the one at the path.
  Result<bool> Has(const char* attribute, int fd) const {
    const ssize_t size = fd >= 0 ? ::fgetxattr(fd, attribute, nullptr, 0)
                                 : ::lgetxattr(path_.c_str(), attribute, nullptr, 0);
    if (size >= 0) return true;
    if (errno == ENODATA || errno == EOPNOTSUPP) return false;
    return Gone("getxattr");
  }

  const std::string root_;
  const Deadline deadline_;
  const uint64_t most_;
  const std::stop_token stop_;
  std::string path_ = root_;
  uint64_t mount_ = 0;
  Sha256 hash_;
  LayerKey key_;
};

}  // namespace

Result<LayerKey> Fingerprint(const std::string& directory, Deadline deadline, uint64_t most,
                             const std::stop_token& stop) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(directory.c_str(), nullptr), ::free);
  if (!real) return FailErrno("resolve", directory);
  return Walk(real.get(), deadline, most, stop).Run();
}

}  // namespace kata::factory
