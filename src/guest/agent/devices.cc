// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/devices.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include <fmt/format.h>

namespace kata::guest {
namespace {

constexpr std::chrono::milliseconds kPollInterval{50};
// Of the intervals that fit into a wait, the part that must have passed one by one.
constexpr int kLeastPart = 4;

// Without the socket, as in a namespace that gets no uevents, asking by time is enough.
sys::UniqueFd OpenUevents() {
  sys::UniqueFd socket(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  if (!socket) return {};
  constexpr unsigned kKernelGroup = 1;
  const sockaddr_nl address{
      .nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = kKernelGroup};
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  return socket;
}

}  // namespace

DeviceWaiter::DeviceWaiter(sys::EventLoop& loop) : loop_(loop), uevents_(OpenUevents()) {
  if (uevents_ && !loop_.Add(uevents_.get(), EPOLLIN, [this](uint32_t) { OnUevents(); })) {
    uevents_.Reset();
  }
}

DeviceWaiter::~DeviceWaiter() {
  loop_.Remove(uevents_.get());
  if (timer_) loop_.Cancel(*timer_);
}

void DeviceWaiter::Wait(Check check, std::chrono::milliseconds timeout, Done done) {
  const Result<bool> there = check();
  if (!there) return done(std::unexpected(there.error()));
  if (*there) return done({});
  waiting_.push_back(
      {std::move(check), Deadline::After(timeout), timeout, std::move(done), /*asked_in_time=*/0});
  Arm();
}

void DeviceWaiter::OnUevents() {
  // What was announced does not matter, and a lost announcement (ENOBUFS) is one too.
  std::array<char, 8192> announcement;
  while (::recv(uevents_.get(), announcement.data(), announcement.size(), 0) > 0) {
  }
  AskAll(false);
}

void DeviceWaiter::AskAll(bool after_interval) {
  // `done` may start another wait: the list is walked with what it holds now.
  std::list<Waiting> asked = std::exchange(waiting_, {});
  for (auto it = asked.begin(); it != asked.end();) {
    const Result<bool> there = it->check();
    if (after_interval) ++it->asked_in_time;
    const bool often = it->asked_in_time >= it->timeout / kPollInterval / kLeastPart;
    if (there && !*there && !(it->deadline.Passed() && often)) {
      ++it;
      continue;
    }
    Waiting finished = std::move(*it);
    it = asked.erase(it);
    if (!there) {
      finished.done(std::unexpected(there.error()));
    } else if (*there) {
      finished.done({});
    } else {
      finished.done(Fail(
          Code::kDeadlineExceeded,
          fmt::format("the device did not appear within {} s", finished.timeout.count() / 1000)));
    }
  }
  waiting_.splice(waiting_.begin(), asked);
  Arm();
}

void DeviceWaiter::Arm() {
  if (waiting_.empty() || timer_) return;
  timer_ = loop_.RunAfter(kPollInterval, [this] {
    timer_.reset();
    AskAll(true);
  });
}

}  // namespace kata::guest
