// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/trial_network.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include "sys/fd.h"
#include "sys/ip_address.h"
#include "sys/netlink_socket.h"
#include "sys/netns.h"
#include "sys/rtnetlink.h"

namespace kata::cli::doctor {
namespace {

constexpr char kContainerLink[] = "eth0";
constexpr char kPeerLink[] = "eth1";
constexpr char kContainerPrefix[] = "192.0.2.2/30";
constexpr char kPeerPrefix[] = "192.0.2.1/30";

Result<void> SetUp(sys::NetlinkSocket& socket, const char* name, const char* prefix) {
  const sys::Link link = KATA_TRY(sys::FindLink(socket, name));
  if (prefix != nullptr) {
    sys::LinkAddress address{.link = link.index};
    address.prefix = *sys::IpPrefix::Parse(prefix);
    KATA_TRY(sys::AddAddress(socket, address, false));
  }
  return sys::ChangeLink(socket, link.index, {.up = true});
}

// A socket belongs to the namespace that it was made in, whoever reads it.
Result<sys::UniqueFd> MakePeer(int container) {
  sys::NetlinkSocket socket = KATA_TRY(sys::NetlinkSocket::Open());
  KATA_TRY(sys::AddVethPair(socket, kPeerLink, kContainerLink));
  const sys::Link link = KATA_TRY(sys::FindLink(socket, kContainerLink));
  KATA_TRY(sys::ChangeLink(socket, link.index, {.namespace_fd = container}));
  KATA_TRY(SetUp(socket, kPeerLink, kPeerPrefix));
  sys::UniqueFd echo(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!echo) return FailErrno("socket");
  sockaddr_in address{.sin_family = AF_INET};
  ::inet_pton(AF_INET, TrialNetwork::kPeerAddress, &address.sin_addr);
  if (::bind(echo.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("bind", TrialNetwork::kPeerAddress);
  }
  return echo;
}

Result<void> SetUpContainerSide() {
  sys::NetlinkSocket socket = KATA_TRY(sys::NetlinkSocket::Open());
  KATA_TRY(SetUp(socket, "lo", nullptr));
  return SetUp(socket, kContainerLink, kContainerPrefix);
}

void Answer(int echo, int stop) {
  for (;;) {
    pollfd waits[] = {{.fd = echo, .events = POLLIN, .revents = 0},
                      {.fd = stop, .events = POLLIN, .revents = 0}};
    if (::poll(waits, 2, -1) < 0 || waits[1].revents != 0) return;
    char packet[64];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t n = ::recvfrom(echo, packet, sizeof packet, MSG_DONTWAIT,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    if (n > 0) {
      (void)::sendto(echo, packet, static_cast<size_t>(n), MSG_DONTWAIT,
                     reinterpret_cast<const sockaddr*>(&from), size);
    }
  }
}

class PairOfNamespaces : public TrialNetwork {
 public:
  PairOfNamespaces(sys::UniqueFd container, sys::UniqueFd echo, sys::UniqueFd stop)
      : container_(std::move(container)),
        echo_(std::move(echo)),
        stop_(std::move(stop)),
        thread_([this] { Answer(echo_.get(), stop_.get()); }) {}
  PairOfNamespaces(const PairOfNamespaces&) = delete;
  PairOfNamespaces& operator=(const PairOfNamespaces&) = delete;
  ~PairOfNamespaces() override {
    const uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }

  std::string path() const override {
    return fmt::format("/proc/{}/fd/{}", ::getpid(), container_.get());
  }
  uint16_t port() const override {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    (void)::getsockname(echo_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }

 private:
  sys::UniqueFd container_;
  sys::UniqueFd echo_;  // keeps the peer's namespace
  sys::UniqueFd stop_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<TrialNetwork>> TrialNetwork::Make() {
  sys::UniqueFd container = KATA_TRY(sys::MakeNetworkNamespace());
  const sys::UniqueFd peer = KATA_TRY(sys::MakeNetworkNamespace());
  const int container_fd = container.get();
  sys::UniqueFd echo =
      KATA_TRY(sys::RunInNetns(peer.get(), [container_fd] { return MakePeer(container_fd); }));
  KATA_TRY(sys::RunInNetns(container_fd, [] { return SetUpContainerSide(); }));
  sys::UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return FailErrno("eventfd");
  return std::make_unique<PairOfNamespaces>(std::move(container), std::move(echo), std::move(stop));
}

}  // namespace kata::cli::doctor
