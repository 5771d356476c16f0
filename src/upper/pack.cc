// SPDX-License-Identifier: Apache-2.0
#include "upper/pack.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "proto/upper.pb.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "upper/attributes.h"
#include "upper/names.h"

namespace kata::upper {
namespace {

class Packer {
 public:
  Packer(const timespec& unchanged_before, StreamWriter& to)
      : unchanged_before_(unchanged_before), to_(&to), chunk_(MakeBuffer(kMaxExtent)) {}

  Result<void> Directory(int directory, const std::string& path, int depth);
  const PackReport& report() const { return report_; }

 private:
  Result<void> Member(int directory, const std::string& name, const std::string& path, int depth);
  Result<void> File(int directory, const std::string& name, Entry& entry,
                    const struct stat& status);
  Result<void> Content(int file, off_t size);
  Result<void> Data(int file, off_t begin, off_t end);
  Result<void> Node(int directory, const std::string& name, Entry& entry,
                    const struct stat& status);
  // True when it is a further name of one that was written, and has been said to be.
  Result<bool> Link(const Entry& entry, const std::string& path, const struct stat& status);

  timespec unchanged_before_;
  StreamWriter* to_;
  Buffer chunk_;
  PackReport report_;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;  // the first name of each
};

Result<void> Packer::Directory(int directory, const std::string& path, int depth) {
  if (depth > kDeepest) {
    return Fail(Code::kOutOfRange, fmt::format("directories more than {} deep", kDeepest));
  }
  struct stat status{};
  if (::fstat(directory, &status) != 0) return FailErrno("stat", path);
  Entry entry;
  entry.set_kind(Entry::KIND_DIRECTORY);
  entry.set_name(path.substr(path.rfind('/') + 1));
  KATA_TRY_WITHIN(path, ReadAttributes(sys::DescriptorPath(directory) + "/.", status, &entry));
  KATA_TRY(to_->Write(entry));
  for (const std::string& name : KATA_TRY(SortedNames(directory))) {
    KATA_TRY(
        Member(directory, name, path.empty() ? name : fmt::format("{}/{}", path, name), depth));
  }
  Entry end;
  end.set_kind(Entry::KIND_END);
  return to_->Write(end);
}

Result<void> Packer::Member(int directory, const std::string& name, const std::string& path,
                            int depth) {
  struct stat status{};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno("stat", path);
  }
  if (S_ISDIR(status.st_mode)) {
    const sys::UniqueFd child(
        ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) return FailErrno("open", path);
    return Directory(child.get(), path, depth + 1);
  }
  Entry entry;
  entry.set_name(name);
  if (KATA_TRY(Link(entry, path, status))) return {};
  entry.set_size(static_cast<uint64_t>(status.st_size));
  KATA_TRY_WITHIN(path, ReadAttributes(fmt::format("{}/{}", sys::DescriptorPath(directory), name),
                                       status, &entry));
  if (Later(unchanged_before_, status.st_ctim)) {
    entry.set_kind(Entry::KIND_KEPT);
    return to_->Write(entry);
  }
  ++report_.files;
  KATA_TRY_WITHIN(path, S_ISREG(status.st_mode) ? File(directory, name, entry, status)
                                                : Node(directory, name, entry, status));
  return {};
}

Result<bool> Packer::Link(const Entry& entry, const std::string& path, const struct stat& status) {
  // Whiteouts are many names of one inode, which may have as many as it likes on one side only.
  if (status.st_nlink < 2 || S_ISCHR(status.st_mode) || path.size() >= PATH_MAX) return false;
  const auto [first, is_new] = linked_.try_emplace({status.st_dev, status.st_ino}, path);
  if (is_new) return false;
  Entry link = entry;
  link.set_kind(Entry::KIND_LINK);
  link.set_target(first->second);
  KATA_TRY(to_->Write(link));
  return true;
}

Result<void> Packer::File(int directory, const std::string& name, Entry& entry,
                          const struct stat& status) {
  const sys::UniqueFd file(
      ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return FailErrno("open");
  entry.set_kind(Entry::KIND_FILE);
  KATA_TRY(to_->Write(entry));
  KATA_TRY(Content(file.get(), status.st_size));
  return to_->Write(Extent());
}

// Without its holes.
Result<void> Packer::Content(int file, off_t size) {
  for (off_t end = 0; end < size;) {
    const off_t begin = ::lseek(file, end, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;  // a hole until the end
    if (begin < 0) return FailErrno("seek");
    end = ::lseek(file, begin, SEEK_HOLE);
    if (end < 0) return FailErrno("seek");
    KATA_TRY(Data(file, begin, std::min(end, size)));
  }
  return {};
}

Result<void> Packer::Data(int file, off_t begin, off_t end) {
  while (begin < end) {
    const size_t wanted = std::min(kMaxExtent, static_cast<size_t>(end - begin));
    const ssize_t got =
        sys::RetryOnEintr([&] { return ::pread(file, chunk_.get(), wanted, begin); });
    if (got < 0) return FailErrno("read");
    if (got == 0) break;
    Extent extent;
    extent.set_offset(static_cast<uint64_t>(begin));
    extent.set_length(static_cast<uint32_t>(got));
    KATA_TRY(to_->Write(extent));
    KATA_TRY(to_->Write(std::string_view(chunk_.get(), static_cast<size_t>(got))));
    report_.bytes += static_cast<uint64_t>(got);
    begin += got;
  }
  return {};
}

Result<void> Packer::Node(int directory, const std::string& name, Entry& entry,
                          const struct stat& status) {
  entry.set_kind(Entry::KIND_NODE);
  entry.set_device(status.st_rdev);
  if (S_ISLNK(status.st_mode)) {
    std::string target(PATH_MAX, '\0');
    const ssize_t size = ::readlinkat(directory, name.c_str(), target.data(), target.size());
    if (size < 0) return FailErrno("readlink");
    target.resize(static_cast<size_t>(size));
    entry.set_target(std::move(target));
  }
  return to_->Write(entry);
}

}  // namespace

Result<PackReport> Pack(const std::string& from, const timespec& unchanged_before,
                        StreamWriter& to) {
  const sys::UniqueFd top = KATA_TRY(sys::Open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  Packer packer(unchanged_before, to);
  KATA_TRY(packer.Directory(top.get(), "", 0));
  return packer.report();
}

}  // namespace kata::upper
