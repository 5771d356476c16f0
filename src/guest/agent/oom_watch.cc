// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/oom_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace kata::guest {
namespace {

constexpr size_t kMaxEvents = 64;
constexpr size_t kMaxListeners = 16;

}  // namespace

OomWatch::OomWatch(sys::EventLoop& loop, Changed changed)
    : loop_(loop),
      changed_(std::move(changed)),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (inotify_ && !loop_.Add(inotify_.get(), EPOLLIN, [this](uint32_t) { OnEvents(); })) {
    inotify_.Reset();
  }
}

OomWatch::~OomWatch() { loop_.Remove(inotify_.get()); }

Result<void> OomWatch::Add(const std::string& id, const Container& container) {
  const std::string path = container.cgroup_path() + "/memory.events";
  const int descriptor = ::inotify_add_watch(inotify_.get(), path.c_str(), IN_MODIFY);
  if (descriptor < 0) return FailErrno("inotify_add_watch", path);
  watched_[id] = Watched{&container, descriptor, container.OomKills().value_or(0)};
  return {};
}

void OomWatch::Remove(const std::string& id) {
  const auto it = watched_.find(id);
  if (it == watched_.end()) return;
  ::inotify_rm_watch(inotify_.get(), it->second.descriptor);
  watched_.erase(it);
}

void OomWatch::Check(const std::string& id) {
  const auto it = watched_.find(id);
  if (it == watched_.end()) return;
  const Result<uint64_t> kills = it->second.container->OomKills();
  if (!kills || *kills <= it->second.kills) return;
  it->second.kills = *kills;
  Announce(id);
}

void OomWatch::Next(Wanted wanted, Listener listener) {
  if (!events_.empty()) {
    std::string id = std::move(events_.front());
    events_.pop_front();
    return listener(std::move(id));
  }
  listeners_.push_back({std::move(wanted), std::move(listener)});
  std::erase_if(listeners_, [](const Waiting& waiting) { return !waiting.wanted(); });
  if (listeners_.size() <= kMaxListeners) return;
  Listener oldest = std::move(listeners_.front().listener);
  listeners_.pop_front();
  oldest(Fail(Code::kAborted, "too many calls wait for this event"));
}

void OomWatch::OnEvents() {
  alignas(inotify_event) std::array<char, 4096> buffer;
  while (::read(inotify_.get(), buffer.data(), buffer.size()) > 0) {
  }
  // Which file changed is not looked at: there are few, and a lost event (IN_Q_OVERFLOW) is made
  // good by looking at all.
  std::vector<std::string> ids;
  for (const auto& [id, watched] : watched_) ids.push_back(id);
  for (const std::string& id : ids) {
    Check(id);
    changed_(id);
  }
}

void OomWatch::Announce(const std::string& id) {
  bool heard = false;
  for (Waiting& waiting : std::exchange(listeners_, {})) {
    if (!waiting.wanted()) continue;
    heard = true;
    waiting.listener(id);
  }
  if (heard) return;
  events_.push_back(id);
  if (events_.size() > kMaxEvents) events_.pop_front();
}

}  // namespace kata::guest
