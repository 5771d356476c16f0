// SPDX-License-Identifier: Apache-2.0
#include "host/storage/upper_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <list>
#include <thread>
#include <utility>

#include "base/log.h"
#include "host/storage/watched_upper.h"
#include "sys/directory_changes.h"

namespace kata::storage {
namespace {

using Clock = WatchedUpper::Clock;

}  // namespace

// The listener and the thread. What is called is called under the lock, so that whoever takes an
// upper layer out waits for it.
class UpperWatches::Watcher {
 public:
  using Place = std::list<WatchedUpper>::iterator;

  Watcher(sys::UniqueFd wake, sys::DirectoryChanges changes)
      : wake_(std::move(wake)),
        changes_fd_(changes.fd()),
        changes_(std::move(changes)),
        thread_([this] { Run(); }) {}
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() {
    {
      const MutexLock lock(mutex_);
      ending_ = true;
    }
    Wake();
    thread_.join();
  }

  Result<Place> Add(sys::UniqueFd upper, pid_t server, UpperReaders readers, size_t max_directories)
      KATA_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const Place place = uppers_.emplace(uppers_.end(), std::move(upper), changes_, server,
                                        std::move(readers), max_directories);
    if (auto begun = place->Begin(); !begun) {
      uppers_.erase(place);
      return std::unexpected(std::move(begun).error());
    }
    // It may be one that is to be looked at without a change.
    Wake();
    return place;
  }

  void Remove(Place place) KATA_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    uppers_.erase(place);
  }

 private:
  void Wake() const {
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }
  void Run() KATA_EXCLUDES(mutex_);
  // Until the time has come, somebody wakes it or, if that is wanted, there are changes.
  void Wait(bool for_changes, Clock::time_point until) const;
  void Take() KATA_REQUIRES(mutex_);
  // Returns when it is to be called again though nothing changes.
  Clock::time_point Tell() KATA_REQUIRES(mutex_);

  const sys::UniqueFd wake_;
  const int changes_fd_;
  Mutex mutex_;
  sys::DirectoryChanges changes_ KATA_GUARDED_BY(mutex_);
  std::list<WatchedUpper> uppers_ KATA_GUARDED_BY(mutex_);
  bool ending_ KATA_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // the last one: it uses the others
};

void UpperWatches::Watcher::Run() {
  Clock::time_point next = Clock::time_point::max();
  for (;;) {
    Wait(true, next);
    {
      const MutexLock lock(mutex_);
      if (ending_) return;
      Take();
      next = Tell();
    }
    Wait(false, Clock::now() + UpperWatch::kPause);
  }
}

void UpperWatches::Watcher::Wait(bool for_changes, Clock::time_point until) const {
  std::array<pollfd, 2> fds = {pollfd{.fd = wake_.get(), .events = POLLIN},
                               pollfd{.fd = changes_fd_, .events = POLLIN}};
  const Deadline deadline =
      until == Clock::time_point::max() ? Deadline::Never() : Deadline::At(until);
  (void)::poll(fds.data(), for_changes ? 2 : 1, deadline.PollMillis());
  uint64_t count = 0;
  // Who wakes it in a pause is heard after it.
  if (for_changes && fds[0].revents != 0) (void)!::read(wake_.get(), &count, sizeof count);
}

void UpperWatches::Watcher::Take() {
  for (;;) {
    const auto changes = changes_.Read();
    if (!changes) return log::Warn("upper layers", {{"error", changes.error().message()}});
    if (changes->empty()) return;
    for (const sys::DirectoryChange& change : *changes) {
      for (WatchedUpper& upper : uppers_) upper.Take(change);
    }
  }
}

Clock::time_point UpperWatches::Watcher::Tell() {
  const Clock::time_point now = Clock::now();
  Clock::time_point next = Clock::time_point::max();
  for (WatchedUpper& upper : uppers_) {
    upper.Tell(now);
    next = std::min(next, upper.Next(now));
  }
  return next;
}

// One that is watched.
class UpperWatch::Entry {
 public:
  Entry(std::shared_ptr<UpperWatches::Watcher> watcher, UpperWatches::Watcher::Place place)
      : watcher_(std::move(watcher)), place_(place) {}
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry() { watcher_->Remove(place_); }

 private:
  const std::shared_ptr<UpperWatches::Watcher> watcher_;
  const UpperWatches::Watcher::Place place_;
};

UpperWatch::UpperWatch(std::unique_ptr<Entry> entry) : entry_(std::move(entry)) {}
UpperWatch::~UpperWatch() = default;

Result<std::shared_ptr<UpperWatches::Watcher>> UpperWatches::Open() {
  const MutexLock lock(mutex_);
  if (auto open = watcher_.lock()) return open;
  sys::UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return FailErrno("eventfd");
  auto opened = std::make_shared<Watcher>(std::move(wake), KATA_TRY(sys::DirectoryChanges::Open()));
  watcher_ = opened;
  return opened;
}

Result<std::unique_ptr<UpperWatch>> UpperWatches::Add(sys::UniqueFd upper, pid_t server,
                                                      UpperReaders readers,
                                                      size_t max_directories) {
  auto watcher = KATA_TRY_WITHIN("watch upper layer", Open());
  const auto place =
      KATA_TRY_WITHIN("watch upper layer",
                      watcher->Add(std::move(upper), server, std::move(readers), max_directories));
  return std::unique_ptr<UpperWatch>(
      new UpperWatch(std::make_unique<UpperWatch::Entry>(std::move(watcher), place)));
}

}  // namespace kata::storage
