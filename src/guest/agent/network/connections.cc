// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/connections.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <optional>
#include <ranges>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "sys/fd.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/socket_address.h"
#include "sys/socket_table.h"

namespace kata::guest {
namespace {

// What tcp(7) leaves out; linux/tcp.h and netinet/tcp.h do not go together.
constexpr int kRepairOn = 1;
constexpr int kRepairOffWithoutProbe = -1;

int Option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

bool IsTcp(int fd) {
  const int domain = Option(fd, SOL_SOCKET, SO_DOMAIN);
  return (domain == AF_INET || domain == AF_INET6) &&
         Option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
}

int StateOf(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  const bool known = ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
  return known ? static_cast<int>(info.tcpi_state) : TCP_CLOSE;
}

Result<sys::IpAddress> OwnAddress(int fd) {
  return KATA_TRY(sys::LocalAddress(fd)).address.Unmapped();
}

// Also one that the kernel still looks for elsewhere, to which nobody can bind yet.
bool HasSix(const sys::IpAddress& address) {
  std::string digits;
  for (const uint8_t byte : address.bytes) digits += fmt::format("{:02x}", byte);
  const auto list = sys::ReadFile("/proc/self/net/if_inet6");
  return list && ("\n" + *list).contains("\n" + digits + " ");
}

bool HasFour(const sys::IpAddress& address) {
  const auto probe = sys::MakeIpSocket(AF_INET, SOCK_DGRAM);
  return probe && sys::Bind(probe->get(), {.address = address, .port = 0});
}

bool Stays(const sys::IpAddress& address, Abort which) {
  if (address.IsLoopback()) return true;
  if (which == Abort::kAll) return false;
  return address.family == AF_INET ? HasFour(address) : HasSix(address);
}

// Whether it is a connection that came, and that nobody has accepted yet.
bool Waits(const sys::SocketEntry& entry) {
  return entry.inode == 0 && (entry.state == TCP_ESTABLISHED || entry.state == TCP_CLOSE_WAIT);
}

// Ports that connections to an address which does not stay came to and wait at.
std::set<in_port_t> WaitingPorts(Abort which) {
  std::set<in_port_t> ports;
  for (const auto& [file, family] :
       {std::pair("/proc/self/net/tcp", AF_INET), std::pair("/proc/self/net/tcp6", AF_INET6)}) {
    const std::string text = sys::ReadFile(file).value_or("");
    for (const auto line : std::views::split(text, '\n')) {
      const auto entry = sys::ParseSocketEntry(std::string_view(line), family);
      if (!entry || !Waits(*entry) || Stays(entry->own.address.Unmapped(), which)) continue;
      ports.insert(entry->own.port);
    }
  }
  return ports;
}

Result<void> SetRepair(int fd, int mode) {
  if (::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &mode, sizeof mode) == 0) return {};
  return FailErrno("TCP_REPAIR");
}

Result<void> AbortSilently(int fd) {
  KATA_TRY(SetRepair(fd, kRepairOn));
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  if (::connect(fd, &nobody, sizeof nobody) != 0) return FailErrno("disconnect");
  return SetRepair(fd, kRepairOffWithoutProbe);
}

class Aborter {
 public:
  explicit Aborter(Abort which) : which_(which) {}

  Result<void> Look(pid_t pid) {
    const auto process = sys::OpenPidFd(pid);
    // One that has ended has none.
    if (!process) return {};
    for (const std::string& name : sys::ListDirectory(fmt::format("/proc/{}/fd", pid))) {
      int number = -1;
      std::from_chars(name.data(), name.data() + name.size(), number);
      if (!IsNewSocket(fmt::format("/proc/{}/fd/{}", pid, name))) continue;
      const sys::UniqueFd socket(
          static_cast<int>(::syscall(SYS_pidfd_getfd, process->get(), number, 0)));
      if (!socket) return FailErrno("pidfd_getfd");
      if (IsTcp(socket.get())) KATA_TRY(End(socket.get()));
    }
    return {};
  }
  size_t count() const { return count_; }

 private:
  // Threads and children have the same.
  bool IsNewSocket(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) &&
           seen_.insert(status.st_ino).second;
  }

  Result<void> End(int fd) {
    const int state = StateOf(fd);
    if (state == TCP_LISTEN) return EndWaiting(fd);
    if (state == TCP_CLOSE || Stays(KATA_TRY(OwnAddress(fd)), which_)) return {};
    ++count_;
    return AbortSilently(fd);
  }

  // Those that nobody has accepted. Only to accept them all reaches one, so that where one of them
  // ends the others, whose both ends are in the guest, are reset.
  Result<void> EndWaiting(int listener) {
    if (!waiting_) waiting_ = WaitingPorts(which_);
    if (!waiting_->contains(KATA_TRY(sys::LocalAddress(listener)).port)) return {};
    pollfd ready{.fd = listener, .events = POLLIN, .revents = 0};
    while (::poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN) != 0) {
      const sys::UniqueFd waiting(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
      if (!waiting) return FailErrno("accept");
      KATA_TRY(End(waiting.get()));
    }
    return {};
  }

  const Abort which_;
  std::set<ino_t> seen_;
  std::optional<std::set<in_port_t>> waiting_;
  size_t count_ = 0;
};

}  // namespace

Result<size_t> AbortConnections(const std::vector<pid_t>& pids, Abort which) {
  Aborter aborter(which);
  Result<void> outcome;
  for (const pid_t pid : pids) {
    if (auto looked = aborter.Look(pid); !looked && outcome) outcome = std::move(looked);
  }
  if (!outcome) return std::unexpected(std::move(outcome).error());
  return aborter.count();
}

}  // namespace kata::guest
