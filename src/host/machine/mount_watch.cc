// SPDX-License-Identifier: Apache-2.0
#include "host/machine/mount_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::sandbox {
namespace {

// An open table stays that of the namespace in which it was opened.
Result<sys::UniqueFd> OpenTable(int mount_namespace) {
  sys::UniqueFd table;
  const auto open = [&]() -> Result<void> {
    table = KATA_TRY(sys::Open("/proc/thread-self/mountinfo", O_RDONLY));
    return {};
  };
  KATA_TRY(mount_namespace < 0 ? open() : sys::RunInMountNamespace(mount_namespace, open));
  return table;
}

void Wake(int wakeup) {
  const uint64_t one = 1;
  (void)!::write(wakeup, &one, sizeof one);
}

}  // namespace

Result<void> MountWatch::Set(const std::vector<int>& namespaces) {
  auto tables = std::make_shared<Tables>();
  for (const int each : namespaces) tables->push_back(KATA_TRY(OpenTable(each)));
  const MutexLock lock(mutex_);
  if (!thread_.joinable()) {
    if (tables->empty()) return {};
    wakeup_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wakeup_) return FailErrno("eventfd");
    stopping_ = false;
    thread_ = std::thread([this] {
      while (Wait()) on_change_();
    });
  }
  tables_ = std::move(tables);
  Wake(wakeup_.get());
  return {};
}

bool MountWatch::Wait() {
  std::shared_ptr<const Tables> tables;
  std::vector<pollfd> ready;
  {
    const MutexLock lock(mutex_);
    if (stopping_) return false;
    tables = tables_;
    ready.push_back({wakeup_.get(), POLLIN, 0});
  }
  for (const sys::UniqueFd& table : *tables) ready.push_back({table.get(), POLLPRI, 0});
  (void)sys::RetryOnEintr([&] { return ::poll(ready.data(), ready.size(), -1); });
  uint64_t woken = 0;
  (void)!::read(ready.front().fd, &woken, sizeof woken);
  const MutexLock lock(mutex_);
  return !stopping_;
}

void MountWatch::Stop() {
  std::thread thread;
  {
    const MutexLock lock(mutex_);
    if (!thread_.joinable()) return;
    stopping_ = true;
    Wake(wakeup_.get());
    thread = std::move(thread_);
  }
  thread.join();
  const MutexLock lock(mutex_);
  tables_ = std::make_shared<Tables>();
}

}  // namespace kata::sandbox
