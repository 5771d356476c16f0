// SPDX-License-Identifier: Apache-2.0
#include "sys/directory_changes.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

namespace kata::sys {
namespace {

constexpr uint64_t kChanges = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_ATTRIB |
                              FAN_DELETE_SELF | FAN_ONDIR | FAN_EVENT_ON_CHILD;
constexpr size_t kBuffer = size_t{64} << 10;

template <class T>
T ReadAs(std::span<const char> bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
  return value;
}

template <class Id>
uint64_t NumberOf(const Id& id) {
  uint64_t number = 0;
  static_assert(sizeof number == sizeof id);
  std::memcpy(&number, &id, sizeof number);
  return number;
}

// The records behind an event: of interest is the one with a directory and a name.
void ReadPlace(std::span<const char> records, DirectoryChange* change) {
  while (records.size() >= sizeof(fanotify_event_info_header)) {
    const auto header = ReadAs<fanotify_event_info_header>(records);
    if (header.len < sizeof header || header.len > records.size()) return;
    const std::span<const char> record = records.first(header.len);
    records = records.subspan(header.len);
    constexpr size_t kHandle = offsetof(fanotify_event_info_fid, handle);
    if (header.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME ||
        record.size() < kHandle + sizeof(file_handle)) {
      continue;
    }
    const auto* const handle = reinterpret_cast<const file_handle*>(record.data() + kHandle);
    const size_t name = kHandle + sizeof(file_handle) + handle->handle_bytes;
    if (name > record.size()) return;
    change->directory.emplace(*handle);
    change->file_system = NumberOf(ReadAs<fanotify_event_info_fid>(record).fsid);
    change->name.assign(record.data() + name,
                        ::strnlen(record.data() + name, record.size() - name));
  }
}

}  // namespace

Result<DirectoryChanges> DirectoryChanges::Open() {
  UniqueFd fd(::fanotify_init(
      FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS,
      O_RDONLY));
  if (!fd && errno == EMFILE) {
    return Fail(Code::kResourceExhausted,
                "fanotify_init: too many listeners; raise fs.fanotify.max_user_groups");
  }
  if (!fd) return FailErrno("fanotify_init");
  return DirectoryChanges(std::move(fd));
}

Result<void> DirectoryChanges::Watch(int directory) {
  if (::fanotify_mark(fd_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR, kChanges, directory, nullptr) ==
      0) {
    return {};
  }
  // What has no handles, or several file systems in one.
  if (errno == ENODEV || errno == EXDEV || errno == EOPNOTSUPP) {
    return Fail(Code::kUnimplemented, "the file system does not tell of changes (fanotify)");
  }
  return FailErrno("fanotify_mark");
}

void DirectoryChanges::Unwatch(int directory) {
  (void)::fanotify_mark(fd_.get(), FAN_MARK_REMOVE | FAN_MARK_ONLYDIR, kChanges, directory,
                        nullptr);
}

Result<uint64_t> DirectoryChanges::FileSystemOf(int directory) {
  struct statfs status{};
  if (::fstatfs(directory, &status) != 0) return FailErrno("statfs");
  return NumberOf(status.f_fsid);
}

Result<std::vector<DirectoryChange>> DirectoryChanges::Read() {
  std::vector<DirectoryChange> changes;
  std::vector<char> buffer(kBuffer);
  const ssize_t n = RetryOnEintr([&] { return ::read(fd_.get(), buffer.data(), buffer.size()); });
  if (n < 0 && errno == EAGAIN) return changes;
  if (n < 0) return FailErrno("read", "fanotify");
  std::span<const char> left(buffer.data(), static_cast<size_t>(n));
  while (left.size() >= sizeof(fanotify_event_metadata)) {
    const auto event = ReadAs<fanotify_event_metadata>(left);
    if (event.event_len < sizeof event || event.event_len > left.size()) break;
    DirectoryChange change{.what = event.mask, .pid = event.pid};
    ReadPlace(left.subspan(event.metadata_len, event.event_len - event.metadata_len), &change);
    left = left.subspan(event.event_len);
    changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace kata::sys
