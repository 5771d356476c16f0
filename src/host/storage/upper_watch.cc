// SPDX-License-Identifier: Apache-2.0
#include "host/storage/upper_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>

#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"
#include "sys/directory_changes.h"
#include "sys/file_handle.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::storage {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Not of every directory is known when it changes.
constexpr auto kRestless = std::chrono::minutes(1);
constexpr auto kRestlessPause = milliseconds(1000);
constexpr milliseconds kForever = milliseconds::max();
// A guest may make more than anybody wants to read.
constexpr size_t kMaxEntries = 200'000;
constexpr uint64_t kWrites =
    FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_ATTRIB | FAN_Q_OVERFLOW;

struct DirectoryCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

class UpperWatch::Watcher {
 public:
  Watcher(sys::UniqueFd upper, sys::UniqueFd end, sys::DirectoryChanges changes, pid_t server,
          UpperReaders readers, size_t max_directories)
      : upper_(std::move(upper)),
        end_(std::move(end)),
        changes_(std::move(changes)),
        readers_(std::move(readers)),
        max_directories_(max_directories) {
    for (const pid_t pid : sys::WithDescendants(server)) servers_.insert(pid);
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() {
    const uint64_t one = 1;
    (void)!::write(end_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
  }

  Result<void> Begin() {
    KATA_TRY(changes_.Watch(upper_.get()));
    WatchTree(KATA_TRY(sys::FileHandle::Of(upper_.get())));
    thread_ = std::thread([this] { Run(); });
    return {};
  }

 private:
  void Run();
  // Until the time is over or, if that is wanted, there are changes. False: it is to end.
  bool Wait(bool for_changes, milliseconds timeout);
  milliseconds Patience() const;
  void Take();
  void Take(const sys::DirectoryChange& change);
  void Tell(Clock::time_point now);
  // Watches a directory and all below that is not watched yet.
  void WatchTree(sys::FileHandle top);
  void WatchOne(const sys::FileHandle& directory, std::deque<sys::FileHandle>* below,
                size_t* entries);
  void GiveUpOnSome();

  const sys::UniqueFd upper_;
  const sys::UniqueFd end_;
  sys::DirectoryChanges changes_;
  const UpperReaders readers_;
  const size_t max_directories_;
  std::set<pid_t> servers_;
  std::thread thread_;

  // Of the thread.
  std::set<sys::FileHandle> watched_;
  bool guest_wrote_ = false;
  bool host_wrote_ = false;
  bool some_unwatched_ = false;
  Clock::time_point restless_until_;
  std::set<Clock::time_point> echoes_;  // when the guest is told again
};

void UpperWatch::Watcher::Run() {
  while (Wait(true, Patience())) {
    Take();
    const Clock::time_point now = Clock::now();
    if (some_unwatched_ && now < restless_until_) guest_wrote_ = host_wrote_ = true;
    Tell(now);
    if (!Wait(false, kPause)) return;
  }
}

milliseconds UpperWatch::Watcher::Patience() const {
  const Clock::time_point now = Clock::now();
  milliseconds patience = kForever;
  if (some_unwatched_ && now < restless_until_) patience = kRestlessPause;
  if (!echoes_.empty()) {
    // Rounded up: what wakes too early waits again.
    const auto left = std::chrono::ceil<milliseconds>(*echoes_.begin() - now);
    patience = std::min(patience, std::max(left, milliseconds(0)));
  }
  return patience;
}

bool UpperWatch::Watcher::Wait(bool for_changes, milliseconds timeout) {
  std::array<pollfd, 2> fds = {pollfd{.fd = end_.get(), .events = POLLIN},
                               pollfd{.fd = changes_.fd(), .events = POLLIN}};
  (void)::poll(fds.data(), for_changes ? 2 : 1,
               timeout == kForever ? -1 : static_cast<int>(timeout.count()));
  return fds[0].revents == 0;
}

void UpperWatch::Watcher::Take() {
  for (;;) {
    const auto changes = changes_.Read();
    if (!changes) return log::Warn("an upper layer", {{"error", changes.error().message()}});
    if (changes->empty()) return;
    for (const sys::DirectoryChange& change : *changes) Take(change);
  }
}

void UpperWatch::Watcher::Take(const sys::DirectoryChange& change) {
  if ((change.what & FAN_DELETE_SELF) != 0 && change.directory) watched_.erase(*change.directory);
  if ((change.what & kWrites) == 0) return;
  if (some_unwatched_) restless_until_ = Clock::now() + kRestless;
  if (!change.directory) {
    guest_wrote_ = host_wrote_ = true;
    if (auto top = sys::FileHandle::Of(upper_.get())) {
      watched_.clear();
      WatchTree(*std::move(top));
    }
    return;
  }
  (servers_.contains(change.pid) ? guest_wrote_ : host_wrote_) = true;
  const bool appeared = (change.what & (FAN_CREATE | FAN_MOVED_TO)) != 0;
  if (!appeared || (change.what & FAN_ONDIR) == 0) return;
  // It may have gone again, or be something else by now.
  const auto parent = change.directory->Open(upper_.get(), O_PATH | O_DIRECTORY);
  if (!parent) return;
  if (auto made = sys::FileHandle::Of(parent->get(), change.name)) WatchTree(*std::move(made));
}

void UpperWatch::Watcher::Tell(Clock::time_point now) {
  if (std::exchange(guest_wrote_, false)) readers_.guest_wrote();
  const bool changed = std::exchange(host_wrote_, false);
  const bool echo = !echoes_.empty() && *echoes_.begin() <= now;
  if (!changed && !echo) return;
  echoes_.erase(echoes_.begin(), echoes_.upper_bound(now));
  readers_.host_wrote();
  if (!changed) return;
  echoes_.clear();
  for (const milliseconds after : kEchoes) echoes_.insert(now + after);
}

// In the order of depth: of a tree that is too large, the top is watched. By handles, since what is
// below may move meanwhile.
void UpperWatch::Watcher::WatchTree(sys::FileHandle top) {
  std::deque<sys::FileHandle> left;
  left.push_back(std::move(top));
  size_t entries = 0;
  while (!left.empty()) {
    if (watched_.size() >= max_directories_ || entries > kMaxEntries) return GiveUpOnSome();
    WatchOne(left.front(), &left, &entries);
    left.pop_front();
  }
}

void UpperWatch::Watcher::WatchOne(const sys::FileHandle& directory,
                                   std::deque<sys::FileHandle>* below, size_t* entries) {
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

void UpperWatch::Watcher::GiveUpOnSome() {
  restless_until_ = Clock::now() + kRestless;
  if (std::exchange(some_unwatched_, true)) return;
  log::Warn(
      "an upper layer has more directories than are watched: while it changes, host and guest "
      "look at it anew once a second",
      {{"watched", std::to_string(watched_.size())}});
}

UpperWatch::UpperWatch(std::unique_ptr<Watcher> watcher) : watcher_(std::move(watcher)) {}
UpperWatch::~UpperWatch() = default;

Result<std::unique_ptr<UpperWatch>> UpperWatch::Start(sys::UniqueFd upper, pid_t server,
                                                      UpperReaders readers,
                                                      size_t max_directories) {
  sys::UniqueFd end(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!end) return FailErrno("eventfd");
  auto changes = KATA_TRY_WITHIN("watch upper layer", sys::DirectoryChanges::Open());
  auto watcher = std::make_unique<Watcher>(std::move(upper), std::move(end), std::move(changes),
                                           server, std::move(readers), max_directories);
  KATA_TRY_WITHIN("watch upper layer", watcher->Begin());
  return std::unique_ptr<UpperWatch>(new UpperWatch(std::move(watcher)));
}

}  // namespace kata::storage
