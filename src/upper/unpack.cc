// SPDX-License-Identifier: Apache-2.0
#include "upper/unpack.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "proto/upper.pb.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "upper/attributes.h"
#include "upper/names.h"
#include "upper/pack.h"

namespace kata::upper {
namespace {

constexpr mode_t kOwnerOnly = 0600;  // until it has its owner
constexpr mode_t kOwnersDirectory = 0700;

// False where there is nothing of that name.
Result<bool> Look(int directory, const std::string& name, struct stat* status) {
  if (::fstatat(directory, name.c_str(), status, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno == ENOENT) return false;
  return FailErrno("stat", name);
}

// A directory below `top`, no component of whose path is a link.
Result<sys::UniqueFd> OpenBelow(int top, const std::string& path) {
  struct open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const long fd = ::syscall(SYS_openat2, top, path.c_str(), &how, sizeof(how));
  if (fd < 0) return FailErrno("open", path);
  return sys::UniqueFd(static_cast<int>(fd));
}

std::string PathIn(int directory, const std::string& name) {
  return fmt::format("{}/{}", sys::DescriptorPath(directory), name);
}

// A directory that is being made.
struct Level {
  int fd = -1;
  std::string path;  // relative to the top, for errors
  int depth = 0;
};

class Unpacker {
 public:
  Unpacker(StreamReader& from, int top, const timespec& kept_after)
      : from_(&from), top_(top), kept_after_(kept_after), chunk_(MakeBuffer(kMaxExtent)) {}

  Result<void> Top();
  const UnpackReport& report() const { return report_; }

 private:
  Result<void> Directory(const Level& level, const Entry& itself);
  Result<void> Member(const Level& level, const Entry& entry);
  Result<void> SubDirectory(const Level& level, const Entry& entry);
  Result<void> CheckKept(const Level& level, const Entry& entry);
  Result<void> Link(const Level& level, const Entry& entry);
  Result<void> File(const Level& level, const Entry& entry);
  Result<void> Content(int file, uint64_t size);
  Result<void> Node(const Level& level, const Entry& entry);
  Result<void> Finish(const std::string& path, const Entry& entry);
  Result<void> MakeRoom(const Level& level, const std::string& name);
  Result<void> RemoveOther(const Level& level, const std::string& name);

  StreamReader* from_;
  int top_;
  timespec kept_after_;
  Buffer chunk_;
  UnpackReport report_;
};

Result<void> Unpacker::Top() {
  Entry entry;
  KATA_TRY(from_->Read(&entry));
  if (entry.kind() != Entry::KIND_DIRECTORY || !entry.name().empty()) {
    return DamagedStream("does not begin with the layer");
  }
  return Directory({.fd = top_, .path = "", .depth = 0}, entry);
}

// What is there beside the entries goes as they pass by: both are in order.
Result<void> Unpacker::Directory(const Level& level, const Entry& itself) {
  if (level.depth > kDeepest) return DamagedStream("has too many directories in each other");
  const std::vector<std::string> there = KATA_TRY(SortedNames(level.fd));
  auto next = there.begin();
  std::string last;
  for (;;) {
    Entry entry;
    KATA_TRY(from_->Read(&entry));
    const bool ends = entry.kind() == Entry::KIND_END;
    if (!ends && (!IsName(entry.name()) || entry.name() <= last)) {
      return DamagedStream("has a name that is none, or out of order");
    }
    for (; next != there.end() && (ends || *next < entry.name()); ++next) {
      KATA_TRY(RemoveOther(level, *next));
    }
    if (ends) break;
    if (next != there.end() && *next == entry.name()) ++next;
    last = entry.name();
    KATA_TRY(Member(level, entry));
  }
  return Finish(sys::DescriptorPath(level.fd) + "/.", itself);
}

Result<void> Unpacker::Member(const Level& level, const Entry& entry) {
  if (entry.kind() == Entry::KIND_DIRECTORY) return SubDirectory(level, entry);
  const auto made = [&]() -> Result<void> {
    switch (entry.kind()) {
      case Entry::KIND_KEPT:
        return CheckKept(level, entry);
      case Entry::KIND_LINK:
        return Link(level, entry);
      case Entry::KIND_FILE:
        return File(level, entry);
      case Entry::KIND_NODE:
        return Node(level, entry);
      default:
        return DamagedStream("has an entry of no kind");
    }
  }();
  if (made) return {};
  return std::unexpected(made.error().Within(level.path + entry.name()));
}

Result<void> Unpacker::SubDirectory(const Level& level, const Entry& entry) {
  const std::string path = level.path + entry.name();
  struct stat there{};
  const bool exists = KATA_TRY(Look(level.fd, entry.name(), &there));
  if (exists && !S_ISDIR(there.st_mode)) KATA_TRY_WITHIN(path, MakeRoom(level, entry.name()));
  if ((!exists || !S_ISDIR(there.st_mode)) &&
      ::mkdirat(level.fd, entry.name().c_str(), kOwnersDirectory) != 0) {
    return FailErrno("mkdir", path);
  }
  const sys::UniqueFd child(
      ::openat(level.fd, entry.name().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!child) return FailErrno("open", path);
  return Directory({.fd = child.get(), .path = path + "/", .depth = level.depth + 1}, entry);
}

Result<void> Unpacker::CheckKept(const Level& level, const Entry& entry) {
  struct stat there{};
  const bool exists = KATA_TRY(Look(level.fd, entry.name(), &there));
  const bool same = exists && (there.st_mode & S_IFMT) == (entry.mode() & S_IFMT) &&
                    static_cast<uint64_t>(there.st_size) == entry.size() &&
                    SameTime(there.st_mtim, ModifiedOf(entry));
  if (same) return {};
  return Fail(Code::kDataLoss, "it was changed on the host");
}

Result<void> Unpacker::Link(const Level& level, const Entry& entry) {
  const std::string& target = entry.target();
  const size_t slash = target.rfind('/');
  const std::string name = slash == std::string::npos ? target : target.substr(slash + 1);
  if (!IsName(name)) return DamagedStream("has a link to nothing");
  const sys::UniqueFd parent =
      KATA_TRY(OpenBelow(top_, slash == std::string::npos ? "." : target.substr(0, slash)));
  struct stat first{};
  struct stat there{};
  if (!KATA_TRY(Look(parent.get(), name, &first)) || S_ISDIR(first.st_mode)) {
    return DamagedStream("has a link to nothing");
  }
  const bool exists = KATA_TRY(Look(level.fd, entry.name(), &there));
  if (exists && first.st_ino == there.st_ino && first.st_dev == there.st_dev) return {};
  KATA_TRY(MakeRoom(level, entry.name()));
  if (::linkat(parent.get(), name.c_str(), level.fd, entry.name().c_str(), 0) != 0) {
    return FailErrno("link");
  }
  return {};
}

Result<void> Unpacker::File(const Level& level, const Entry& entry) {
  if (!S_ISREG(entry.mode())) return DamagedStream("has a file that is none");
  KATA_TRY(MakeRoom(level, entry.name()));
  const sys::UniqueFd file(::openat(level.fd, entry.name().c_str(),
                                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                    kOwnerOnly));
  if (!file) return FailErrno("create");
  KATA_TRY(Content(file.get(), entry.size()));
  ++report_.files;
  return Finish(PathIn(level.fd, entry.name()), entry);
}

Result<void> Unpacker::Content(int file, uint64_t size) {
  for (;;) {
    Extent extent;
    KATA_TRY(from_->Read(&extent));
    if (extent.length() == 0) break;
    if (extent.length() > kMaxExtent || extent.offset() > size ||
        extent.length() > size - extent.offset()) {
      return DamagedStream("has content beyond its file");
    }
    KATA_TRY(from_->Read(chunk_.get(), extent.length()));
    for (size_t done = 0; done < extent.length();) {
      const ssize_t put = sys::RetryOnEintr([&] {
        return ::pwrite(file, chunk_.get() + done, extent.length() - done,
                        static_cast<off_t>(extent.offset() + done));
      });
      if (put < 0) return FailErrno("write");
      done += static_cast<size_t>(put);
    }
    report_.bytes += extent.length();
  }
  if (::ftruncate(file, static_cast<off_t>(size)) != 0) return FailErrno("truncate");
  return {};
}

Result<void> Unpacker::Node(const Level& level, const Entry& entry) {
  const mode_t type = entry.mode() & S_IFMT;
  const bool known =
      type == S_IFLNK || type == S_IFCHR || type == S_IFBLK || type == S_IFIFO || type == S_IFSOCK;
  if (!known) return DamagedStream("has a node that is none");
  KATA_TRY(MakeRoom(level, entry.name()));
  if (type == S_IFLNK) {
    if (::symlinkat(entry.target().c_str(), level.fd, entry.name().c_str()) != 0) {
      return FailErrno("symlink");
    }
  } else if (::mknodat(level.fd, entry.name().c_str(), type | kOwnerOnly, entry.device()) != 0) {
    return FailErrno("mknod");
  }
  ++report_.files;
  return Finish(PathIn(level.fd, entry.name()), entry);
}

Result<void> Unpacker::Finish(const std::string& path, const Entry& entry) {
  report_.lost_attributes += KATA_TRY(WriteAttributes(path, entry));
  return {};
}

Result<void> Unpacker::MakeRoom(const Level& level, const std::string& name) {
  return sys::RemoveTree(PathIn(level.fd, name));
}

Result<void> Unpacker::RemoveOther(const Level& level, const std::string& name) {
  struct stat there{};
  if (!KATA_TRY(Look(level.fd, name, &there))) return {};
  if (kept_after_.tv_sec != 0 && Later(there.st_ctim, kept_after_)) return {};
  ++report_.removed;
  return MakeRoom(level, name);
}

}  // namespace

std::string Describe(const UnpackReport& report) {
  std::string text =
      fmt::format("{} files, {} bytes, {} removed", report.files, report.bytes, report.removed);
  if (report.lost_attributes > 0) {
    text += fmt::format(", {} extended attributes not taken", report.lost_attributes);
  }
  return text;
}

Result<UnpackReport> Unpack(StreamReader& from, const std::string& to, const timespec& kept_after) {
  const sys::UniqueFd top = KATA_TRY(sys::Open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  Unpacker unpacker(from, top.get(), kept_after);
  KATA_TRY(unpacker.Top());
  return unpacker.report();
}

}  // namespace kata::upper
