// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/guest_network.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <netinet/in.h>

#include "guest/agent/network/network_messages.h"
#include "sys/files.h"
#include "sys/socket_address.h"

namespace kata::guest {
namespace {

constexpr int kMaxAddresses = 1024;

// Runs `work` in the namespace `fd`. The agent has one thread: it goes there and back.
template <class Work>
auto Inside(int fd, int own, Work work) -> decltype(work()) {
  if (::setns(fd, CLONE_NEWNET) != 0) return FailErrno("setns", "network");
  auto result = work();
  if (::setns(own, CLONE_NEWNET) != 0) return FailErrno("setns", "own network");
  return result;
}

std::optional<sys::Link> FindByMac(const std::vector<sys::Link>& links,
                                   const std::string& permanent, const std::string& current) {
  for (const sys::Link& link : links) {
    if ((link.flags & IFF_LOOPBACK) != 0) continue;
    const bool same = permanent.empty()
                          ? sys::MacText(link.mac) == current
                          : link.permanent_mac && sys::MacText(*link.permanent_mac) == permanent;
    if (same) return link;
  }
  return std::nullopt;
}

std::optional<sys::Link> Find(const std::vector<sys::Link>& links,
                              const types::Interface& interface) {
  return FindByMac(links, interface.permanent_hw_addr(), interface.hw_addr());
}

// Whether two addresses of one link are the same to the kernel.
bool SameAddress(const sys::LinkAddress& a, const sys::LinkAddress& b) {
  return a.prefix == b.prefix && a.peer == b.peer;
}

}  // namespace

Result<GuestNetwork> GuestNetwork::Create() {
  sys::NetlinkSocket outside = KATA_TRY(sys::NetlinkSocket::Open());
  sys::UniqueFd own = KATA_TRY(sys::Open("/proc/self/ns/net", O_RDONLY));
  if (::unshare(CLONE_NEWNET) != 0) return FailErrno("unshare", "network");
  struct Made {
    sys::UniqueFd fd;
    sys::NetlinkSocket socket;
  };
  const auto make = []() -> Result<Made> {
    sys::NetlinkSocket socket = KATA_TRY(sys::NetlinkSocket::Open());
    constexpr int kLoopback = 1;  // in every namespace
    KATA_TRY(sys::ChangeLink(socket, kLoopback, {.up = true}));
    return Made{KATA_TRY(sys::Open("/proc/self/ns/net", O_RDONLY)), std::move(socket)};
  };
  auto made = make();
  if (::setns(own.get(), CLONE_NEWNET) != 0) return FailErrno("setns", "own network");
  if (!made) return std::unexpected(std::move(made).error());
  return GuestNetwork(std::move(own), std::move(made->fd), std::move(outside),
                      std::move(made->socket));
}

Result<bool> GuestNetwork::IsThere(const types::Interface& interface) {
  if (Find(KATA_TRY(sys::ListLinks(inside_)), interface)) return true;
  return Find(KATA_TRY(sys::ListLinks(outside_)), interface).has_value();
}

Result<sys::Link> GuestNetwork::Bring(const types::Interface& interface) {
  const sys::MacAddress mac = KATA_TRY(ReadMac(interface.hw_addr()));
  const std::vector<sys::Link> present = KATA_TRY(sys::ListLinks(inside_));
  const auto named = std::ranges::find(present, interface.name(), &sys::Link::name);
  auto link = Find(present, interface);
  if (named != present.end() && (!link || named->index != link->index)) {
    return Fail(Code::kAlreadyExists,
                fmt::format("another interface is called \"{}\"", interface.name()));
  }
  if (!link) {
    link = Find(KATA_TRY(sys::ListLinks(outside_)), interface);
    if (!link) {
      return Fail(Code::kNotFound, fmt::format("no network device has the address {}",
                                               interface.permanent_hw_addr().empty()
                                                   ? interface.hw_addr()
                                                   : interface.permanent_hw_addr()));
    }
    KATA_TRY(sys::ChangeLink(
        outside_, link->index,
        {.name = interface.name(), .mac = mac, .up = false, .namespace_fd = namespace_.get()}));
    KATA_TRY(Within([&] { settings_.Apply(interface.name()); }));
    return sys::FindLink(inside_, interface.name());
  }
  sys::LinkChange change;
  if (link->mac != mac) change.mac = mac;
  if (link->name != interface.name()) {
    change.name = interface.name();
    change.up = false;  // older kernels rename only what is down
  }
  if (change.mac || change.name) KATA_TRY(sys::ChangeLink(inside_, link->index, change));
  link->name = interface.name();
  return *link;
}

Result<void> GuestNetwork::UpdateSettings(const agent::NetworkSettings& settings) {
  NetworkSettings::Values values(settings.values().begin(), settings.values().end());
  return Inside(namespace_.get(), own_namespace_.get(),
                [&] { return settings_.Update(std::move(values)); });
}

void GuestNetwork::ClaimSettings(const oci::Linux& section) {
  for (const auto& [name, value] : section.sysctl()) settings_.Claim(name);
}

Result<void> GuestNetwork::SetIpv6(const std::string& link, bool off) {
  if (settings_.IsClaimed(fmt::format("ipv6/conf/{}/disable_ipv6", link))) return {};
  return Inside(namespace_.get(), own_namespace_.get(), [&]() -> Result<void> {
    const std::string path = fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", link);
    if (!sys::Exists(path)) return {};
    return sys::WriteControl(path, off ? "1" : "0");
  });
}

Result<void> GuestNetwork::SetAddresses(const sys::Link& link,
                                        const std::vector<sys::LinkAddress>& wanted) {
  for (const sys::LinkAddress& present : KATA_TRY(sys::ListAddresses(inside_))) {
    if (present.link != link.index || present.prefix.address.IsLinkLocal()) continue;
    // What a router has announced comes and goes by itself.
    if (present.prefix.address.family == AF_INET6 && (present.flags & IFA_F_PERMANENT) == 0) {
      continue;
    }
    const bool keep = std::ranges::any_of(
        wanted, [&](const sys::LinkAddress& each) { return SameAddress(each, present); });
    if (!keep) KATA_TRY(sys::DeleteAddress(inside_, present));
  }
  for (const sys::LinkAddress& each : wanted) {
    sys::LinkAddress address = each;
    address.link = link.index;
    KATA_TRY_WITHIN(fmt::format("address {}", address.prefix.Text()),
                    sys::AddAddress(inside_, address, true));
  }
  return {};
}

Result<types::Interface> GuestNetwork::Update(const types::Interface& interface) {
  KATA_TRY(CheckLinkName(interface.name()));
  if (interface.ip_addresses_size() > kMaxAddresses) {
    return Fail(Code::kInvalidArgument, "too many addresses");
  }
  std::vector<sys::LinkAddress> addresses;
  for (const types::IPAddress& address : interface.ip_addresses()) {
    addresses.push_back(KATA_TRY(ReadAddress(address)));
  }
  const auto configure = [&]() -> Result<types::Interface> {
    const sys::Link link = KATA_TRY(Bring(interface));
    KATA_TRY(SetIpv6(link.name, interface.ipv6_off()));
    sys::LinkChange change{.up = true, .arp = (interface.raw_flags() & IFF_NOARP) == 0};
    if (interface.mtu() > 0) change.mtu = static_cast<uint32_t>(interface.mtu());
    KATA_TRY(sys::ChangeLink(inside_, link.index, change));
    KATA_TRY(SetAddresses(link, addresses));
    types::Interface now;
    FillInterface(KATA_TRY(sys::FindLink(inside_, link.name)), &now);
    *now.mutable_ip_addresses() = interface.ip_addresses();
    now.set_device_path(interface.device_path());
    return now;
  };
  return KATA_TRY_WITHIN(fmt::format("interface \"{}\"", interface.name()), configure());
}

Result<void> GuestNetwork::Release(const std::string& permanent_hw_addr) {
  const auto link = FindByMac(KATA_TRY(sys::ListLinks(inside_)), permanent_hw_addr, "");
  if (!link || permanent_hw_addr.empty()) {
    return Fail(Code::kNotFound,
                fmt::format("no network device has the address {}", permanent_hw_addr));
  }
  settings_.Forget(link->name);
  // A name that nobody else has out there.
  const std::string name = fmt::format("spare{}", link->index);
  return sys::ChangeLink(inside_, link->index,
                         {.name = name, .up = false, .namespace_fd = own_namespace_.get()});
}

Result<agent::Interfaces> GuestNetwork::Interfaces() {
  const std::vector<sys::LinkAddress> addresses = KATA_TRY(sys::ListAddresses(inside_));
  agent::Interfaces interfaces;
  for (const sys::Link& link : KATA_TRY(sys::ListLinks(inside_))) {
    if ((link.flags & IFF_LOOPBACK) != 0) continue;
    types::Interface& interface = *interfaces.add_interfaces();
    FillInterface(link, &interface);
    for (const sys::LinkAddress& address : addresses) {
      if (address.link == link.index) FillAddress(address, interface.add_ip_addresses());
    }
  }
  return interfaces;
}

Result<agent::Routes> GuestNetwork::UpdateRoutes(const agent::Routes& routes) {
  KATA_TRY(routes_.Update(inside_, routes));
  return Routes();
}

Result<void> GuestNetwork::AddNeighbors(const agent::ARPNeighbors& neighbors) {
  for (const types::ARPNeighbor& each : neighbors.arp_neighbors()) {
    sys::Neighbor neighbor = KATA_TRY(ReadNeighbor(each));
    neighbor.link = KATA_TRY(sys::FindLink(inside_, each.device())).index;
    KATA_TRY_WITHIN(fmt::format("neighbor {}", neighbor.address.Text()),
                    sys::SetNeighbor(inside_, neighbor));
  }
  return {};
}

Result<void> GuestNetwork::Within(const std::function<void()>& work) {
  return Inside(namespace_.get(), own_namespace_.get(), [&]() -> Result<void> {
    work();
    return {};
  });
}

Result<sys::UniqueFd> GuestNetwork::BindLoopbackUdp(const std::string& address, uint16_t port) {
  constexpr uint8_t kLoopbackNetwork = 127;
  const auto parsed = sys::IpAddress::Parse(address);
  if (!parsed || parsed->family != AF_INET || parsed->bytes[0] != kLoopbackNetwork) {
    return Fail(Code::kInvalidArgument,
                fmt::format("\"{}\" is no IPv4 address of a loopback", address));
  }
  return Inside(namespace_.get(), own_namespace_.get(), [&]() -> Result<sys::UniqueFd> {
    sys::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return FailErrno("socket", "udp");
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    std::memcpy(&where.sin_addr, parsed->bytes.data(), sizeof where.sin_addr);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) {
      return FailErrno("bind", address);
    }
    return fd;
  });
}

Result<sys::UniqueFd> GuestNetwork::MakeTcpSocket(int family) {
  return Inside(namespace_.get(), own_namespace_.get(),
                [&] { return sys::MakeIpSocket(family, SOCK_STREAM); });
}

}  // namespace kata::guest
