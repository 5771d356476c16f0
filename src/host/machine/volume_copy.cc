// SPDX-License-Identifier: Apache-2.0
#include "host/machine/volume_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <functional>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/storage/share.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::sandbox {
namespace {

constexpr int kMaxDepth = 64;

class Reader {
 public:
  explicit Reader(const std::string& source) : source_(source) {}

  // `fd` is open with O_PATH, and what was looked at is what is read: others may write in the
  // volume meanwhile, guests among them.
  Result<void> Add(int fd, const std::string& path, int depth) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) return FailErrno("stat", path);
    agent::GuestFile file{.path = path,
                          .content = {},
                          .mode = status.st_mode,
                          .uid = status.st_uid,
                          .gid = status.st_gid};
    switch (status.st_mode & S_IFMT) {
      case S_IFREG:
        file.content = KATA_TRY(ReadContent(fd));
        return Keep(std::move(file));
      case S_IFLNK:
        file.content = KATA_TRY(ReadTarget(fd));
        return Keep(std::move(file));
      case S_IFDIR:
        KATA_TRY(Keep(std::move(file)));
        return AddBelow(fd, path, depth + 1);
      default:
        log::Warn("neither file nor directory: not copied", {{"path", path}});
        return {};
    }
  }

  std::vector<agent::GuestFile> Take() { return std::move(files_); }

 private:
  std::unexpected<Error> TooMuch() const {
    return Fail(Code::kResourceExhausted,
                fmt::format("\"{}\" has more than {} MiB or {} files: with shared_fs = \"none\" "
                            "volumes are copied into the guest's memory; give a block device, or "
                            "set shared_fs = \"virtio-fs\"",
                            source_, kMaxCopiedBytes >> 20, kMaxCopiedFiles));
  }

  Result<void> Keep(agent::GuestFile file) {
    bytes_ += file.content.size();
    if (bytes_ > kMaxCopiedBytes || files_.size() == kMaxCopiedFiles) return TooMuch();
    files_.push_back(std::move(file));
    return {};
  }

  Result<std::string> ReadContent(int fd) const {
    const sys::UniqueFd file = KATA_TRY(sys::Open(sys::DescriptorPath(fd), O_RDONLY));
    auto content = sys::ReadToEnd(file.get(), kMaxCopiedBytes - bytes_);
    if (!content && content.error().code() == Code::kOutOfRange) return TooMuch();
    return content;
  }

  static Result<std::string> ReadTarget(int fd) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlinkat(fd, "", target.data(), target.size());
    if (size < 0) return FailErrno("readlink");
    return std::string(target.data(), static_cast<size_t>(size));
  }

  Result<void> AddBelow(int fd, const std::string& path, int depth) {
    if (depth > kMaxDepth) return TooMuch();
    const int listed = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (listed < 0) return FailErrno("open", path);
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(listed), ::closedir);
    if (!directory) return FailErrno("read", path);
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      const sys::UniqueFd below(::openat(fd, entry->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!below && errno == ENOENT) continue;
      if (!below) return FailErrno("open", name);
      KATA_TRY(Add(below.get(), fmt::format("{}/{}", path, name), depth));
    }
    return {};
  }

  const std::string& source_;
  std::vector<agent::GuestFile> files_;
  uint64_t bytes_ = 0;
};

std::string GuestPath(const storage::Volume& volume, const std::string& container_id) {
  const size_t number = std::hash<std::string>()(volume.source);
  // No container has the name of the other directory.
  return fmt::format("{}{}/{:016x}-{}", storage::SharedDirectory::kGuestDirectory,
                     volume.ids ? container_id : ".copies", number,
                     storage::BaseName(volume.source));
}

}  // namespace

Result<std::vector<agent::GuestFile>> ReadFiles(int tree, const std::string& source,
                                                const std::string& path) {
  Reader reader(source);
  KATA_TRY(reader.Add(tree, path, 0));
  return reader.Take();
}

Result<VolumeCopy> ReadVolume(const storage::Volume& volume, const std::string& container_id,
                              int mount_namespace) {
  const std::string path = GuestPath(volume, container_id);
  const sys::UniqueFd tree = KATA_TRY(storage::CloneVolume(volume, mount_namespace));
  VolumeCopy copy{.path = path, .files = KATA_TRY(ReadFiles(tree.get(), volume.source, path))};
  if (copy.files.empty()) {
    return Fail(
        Code::kUnimplemented,
        fmt::format("\"{}\" is neither a file nor a directory, and with shared_fs = \"none\" "
                    "nothing else reaches the guest",
                    volume.source));
  }
  return copy;
}

Result<void> SendVolume(const VolumeCopy& copy, agent::AgentClient& agent) {
  for (const agent::GuestFile& file : copy.files) KATA_TRY(agent.CopyFile(file));
  return {};
}

Result<void> VolumeCopies::SendOnce(const VolumeCopy& copy, agent::AgentClient& agent) {
  std::promise<Result<void>> sent;
  std::shared_future<Result<void>> of_other;
  {
    const MutexLock lock(mutex_);
    const auto [entry, is_new] = sent_.try_emplace(copy.path);
    if (is_new) {
      entry->second = sent.get_future().share();
    } else {
      of_other = entry->second;
    }
  }
  if (of_other.valid()) return of_other.get();
  const Result<void> result = SendVolume(copy, agent);
  if (!result) {
    const MutexLock lock(mutex_);
    sent_.erase(copy.path);
  }
  sent.set_value(result);
  return result;
}

}  // namespace kata::sandbox
