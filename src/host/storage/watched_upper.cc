// SPDX-License-Identifier: Apache-2.0
#include "host/storage/watched_upper.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/fanotify.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "sys/process.h"

namespace kata::storage {
namespace {

using std::chrono::milliseconds;

// Not of every directory is known when it changes.
constexpr auto kRestless = std::chrono::minutes(1);
constexpr auto kRestlessPause = milliseconds(1000);
// A guest may make more than anybody wants to read.
constexpr size_t kMaxEntries = 200'000;
constexpr uint64_t kWrites =
    FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_ATTRIB | FAN_Q_OVERFLOW;

struct DirectoryCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

WatchedUpper::WatchedUpper(sys::UniqueFd upper, sys::DirectoryChanges& changes, pid_t server,
                           UpperReaders readers, size_t max_directories)
    : upper_(std::move(upper)),
      changes_(changes),
      readers_(std::move(readers)),
      max_directories_(max_directories) {
  for (const pid_t pid : sys::WithDescendants(server)) servers_.insert(pid);
}

WatchedUpper::~WatchedUpper() {
  for (const sys::FileHandle& directory : watched_) {
    // One that is gone has taken its mark along.
    if (const auto fd = directory.Open(upper_.get(), O_RDONLY | O_DIRECTORY | O_NONBLOCK)) {
      changes_.Unwatch(fd->get());
    }
  }
}

Result<void> WatchedUpper::Begin() {
  KATA_TRY(changes_.Watch(upper_.get()));
  file_system_ = KATA_TRY(sys::DirectoryChanges::FileSystemOf(upper_.get()));
  WatchTree(KATA_TRY(sys::FileHandle::Of(upper_.get())));
  return {};
}

WatchedUpper::Clock::time_point WatchedUpper::Next(Clock::time_point now) const {
  Clock::time_point next = Clock::time_point::max();
  if (some_unwatched_ && now < restless_until_) next = told_ + kRestlessPause;
  if (!echoes_.empty()) next = std::min(next, *echoes_.begin());
  return next;
}

void WatchedUpper::LookAgain() {
  guest_wrote_ = host_wrote_ = true;
  if (some_unwatched_) restless_until_ = Clock::now() + kRestless;
  if (auto top = sys::FileHandle::Of(upper_.get())) {
    watched_.clear();
    WatchTree(*std::move(top));
  }
}

void WatchedUpper::Take(const sys::DirectoryChange& change) {
  if (!change.directory) return LookAgain();
  if (change.file_system != file_system_ || !watched_.contains(*change.directory)) return;
  if ((change.what & FAN_DELETE_SELF) != 0) watched_.erase(*change.directory);
  if ((change.what & kWrites) == 0) return;
  if (some_unwatched_) restless_until_ = Clock::now() + kRestless;
  (servers_.contains(change.pid) ? guest_wrote_ : host_wrote_) = true;
  const bool appeared = (change.what & (FAN_CREATE | FAN_MOVED_TO)) != 0;
  if (!appeared || (change.what & FAN_ONDIR) == 0) return;
  // It may have gone again, or be something else by now.
  const auto parent = change.directory->Open(upper_.get(), O_PATH | O_DIRECTORY);
  if (!parent) return;
  if (auto made = sys::FileHandle::Of(parent->get(), change.name)) WatchTree(*std::move(made));
}

void WatchedUpper::Tell(Clock::time_point now) {
  const bool due = guest_wrote_ || host_wrote_ || now >= told_ + kRestlessPause;
  if (some_unwatched_ && now < restless_until_ && due) guest_wrote_ = host_wrote_ = true;
  if (guest_wrote_ || host_wrote_) told_ = now;
  if (std::exchange(guest_wrote_, false)) readers_.guest_wrote();
  const bool changed = std::exchange(host_wrote_, false);
  const bool echo = !echoes_.empty() && *echoes_.begin() <= now;
  if (!changed && !echo) return;
  echoes_.erase(echoes_.begin(), echoes_.upper_bound(now));
  readers_.host_wrote();
  if (!changed) return;
  echoes_.clear();
  for (const milliseconds after : UpperWatch::kEchoes) echoes_.insert(now + after);
}

// In the order of depth: of a tree that is too large, the top is watched. By handles, since what is
// below may move meanwhile.
void WatchedUpper::WatchTree(sys::FileHandle top) {
  std::deque<sys::FileHandle> left;
  left.push_back(std::move(top));
  size_t entries = 0;
  while (!left.empty()) {
    if (watched_.size() >= max_directories_ || entries > kMaxEntries) return GiveUpOnSome();
    WatchOne(left.front(), &left, &entries);
    left.pop_front();
  }
}

void WatchedUpper::WatchOne(const sys::FileHandle& directory, std::deque<sys::FileHandle>* below,
                            size_t* entries) {
  auto fd = directory.Open(upper_.get(), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
  if (!fd || !changes_.Watch(fd->get())) return;
  watched_.insert(directory);
  const std::unique_ptr<DIR, DirectoryCloser> dir(::fdopendir(fd->get()));
  if (!dir) return;
  const int number = fd->Release();
  while (const dirent* entry = ::readdir(dir.get())) {
    if (++*entries > kMaxEntries) return;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) continue;
    auto handle = sys::FileHandle::Of(number, name);
    if (handle && !watched_.contains(*handle)) below->push_back(*std::move(handle));
  }
}

void WatchedUpper::GiveUpOnSome() {
  restless_until_ = Clock::now() + kRestless;
  if (std::exchange(some_unwatched_, true)) return;
  log::Warn(
      "an upper layer has more directories than are watched: while it changes, host and guest "
      "look at it anew once a second",
      {{"watched", std::to_string(watched_.size())}});
}

}  // namespace kata::storage
