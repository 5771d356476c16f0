// SPDX-License-Identifier: Apache-2.0
#include "sys/change_watch.h"

#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "sys/mounts.h"

namespace kata::sys {

Result<Inotify> Inotify::Create() {
  UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd && errno == EMFILE) {
    return Fail(Code::kResourceExhausted,
                "inotify: this user has no more instances; raise fs.inotify.max_user_instances");
  }
  if (!fd) return FailErrno("inotify_init1");
  return Inotify(std::move(fd));
}

Result<int> Inotify::Watch(int file, uint32_t mask) const {
  const int watch = ::inotify_add_watch(fd_.get(), DescriptorPath(file).c_str(), mask);
  if (watch < 0) return FailErrno("inotify_add_watch");
  return watch;
}

void Inotify::Forget(int watch) const { ::inotify_rm_watch(fd_.get(), watch); }

Result<Inotify::Events> Inotify::Take() const {
  constexpr size_t kBytes = 16 << 10;
  alignas(inotify_event) std::array<char, kBytes> buffer{};
  Events events;
  for (;;) {
    const ssize_t size =
        RetryOnEintr([&] { return ::read(fd_.get(), buffer.data(), buffer.size()); });
    if (size < 0 && errno == EAGAIN) break;
    if (size < 0) return FailErrno("read events of inotify");
    for (size_t at = 0; at < static_cast<size_t>(size);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      at += sizeof event + event.len;
      events.lost |= (event.mask & IN_Q_OVERFLOW) != 0;
      events.watches.push_back(event.wd);
    }
  }
  std::ranges::sort(events.watches);
  const auto [first, last] = std::ranges::unique(events.watches);
  events.watches.erase(first, last);
  return events;
}

}  // namespace kata::sys
