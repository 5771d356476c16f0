// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/connections.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "sys/fd.h"
#include "sys/files.h"
#include "sys/process.h"

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

struct Address {
  bool v4 = true;
  in_addr four{};
  in6_addr six{};
};

Result<Address> OwnAddress(int fd) {
  sockaddr_in6 name{};
  socklen_t size = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    return FailErrno("getsockname");
  }
  Address address;
  if (name.sin6_family == AF_INET) {
    address.four = reinterpret_cast<const sockaddr_in&>(name).sin_addr;
    return address;
  }
  address.v4 = IN6_IS_ADDR_V4MAPPED(&name.sin6_addr) != 0;
  if (address.v4) {
    constexpr size_t kMappedAt = 12;
    std::memcpy(&address.four, name.sin6_addr.s6_addr + kMappedAt, sizeof address.four);
  }
  address.six = name.sin6_addr;
  return address;
}

bool IsLoopback(const Address& address) {
  if (!address.v4) return IN6_IS_ADDR_LOOPBACK(&address.six) != 0;
  constexpr uint32_t kLoopbackNet = 127;
  constexpr int kOtherBits = 24;
  return ntohl(address.four.s_addr) >> kOtherBits == kLoopbackNet;
}

// Also one that the kernel still looks for elsewhere, to which nobody can bind yet.
bool HasSix(const in6_addr& address) {
  std::string digits;
  for (const uint8_t byte : address.s6_addr) digits += fmt::format("{:02x}", byte);
  const auto list = sys::ReadFile("/proc/self/net/if_inet6");
  return list && ("\n" + *list).contains("\n" + digits + " ");
}

bool HasFour(const in_addr& address) {
  const sys::UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr = address;
  return ::bind(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
}

bool Stays(const Address& address, Abort which) {
  if (IsLoopback(address)) return true;
  if (which == Abort::kAll) return false;
  return address.v4 ? HasFour(address.four) : HasSix(address.six);
}

in_port_t PortOf(int fd) {
  sockaddr_in6 name{};
  socklen_t size = sizeof name;
  const bool known = ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0;
  // At the same place in both kinds of names.
  return known ? ntohs(name.sin6_port) : in_port_t{0};
}

// "0100007F:1F90", or of version 6 with four such words.
bool ParseEnd(std::string_view text, Address* address, in_port_t* port) {
  constexpr size_t kWord = 8;
  constexpr size_t kFour = kWord + 1;
  constexpr size_t kSix = 4 * kWord + 1;
  const size_t colon = text.find(':') + 1;
  if (colon != kFour && colon != kSix) return false;
  const auto number = [](std::string_view digits, auto* value) {
    constexpr int kHex = 16;
    return std::from_chars(digits.data(), digits.data() + digits.size(), *value, kHex).ec ==
           std::errc();
  };
  uint32_t words[4] = {};
  for (size_t i = 0; i < colon / kWord; ++i) {
    if (!number(text.substr(i * kWord, kWord), &words[i])) return false;
  }
  std::memcpy(&address->six, words, sizeof address->six);
  address->v4 = colon == kFour || IN6_IS_ADDR_V4MAPPED(&address->six) != 0;
  address->four.s_addr = colon == kFour ? words[0] : words[3];
  return number(text.substr(colon), port);
}

// Without empty parts.
std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// Columns of /proc/net/tcp, and what is in them.
constexpr size_t kOwnEnd = 1;
constexpr size_t kState = 3;
constexpr size_t kInode = 9;
constexpr std::string_view kEstablished = "01";
constexpr std::string_view kCloseWait = "08";
constexpr std::string_view kNobodys = "0";

// Ports that connections to an address which does not stay came to and wait at.
std::set<in_port_t> WaitingPorts(Abort which) {
  std::set<in_port_t> ports;
  for (const char* file : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    const std::string text = sys::ReadFile(file).value_or("");
    for (const std::string_view line : Split(text, '\n')) {
      const std::vector<std::string_view> words = Split(line, ' ');
      if (words.size() <= kInode || words[kInode] != kNobodys) continue;
      if (words[kState] != kEstablished && words[kState] != kCloseWait) continue;
      Address address;
      in_port_t port = 0;
      if (ParseEnd(words[kOwnEnd], &address, &port) && !Stays(address, which)) ports.insert(port);
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
    if (!waiting_->contains(PortOf(listener))) return {};
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
