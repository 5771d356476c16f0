// SPDX-License-Identifier: Apache-2.0
#include "host/network/settings.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "sys/fd.h"

namespace kata::network {
namespace {

// One of the namespace. `fresh` is what the kernel gives a new one.
struct Entry {
  const char* path;
  const char* fresh;
  bool for_sockets;
};

constexpr Entry kEntries[] = {
    // Programs refuse to work without it (container engines, Kubernetes), and a host with Docker
    // hands it down.
    {"ipv4/ip_forward", "0", true},
    // Which ports a program gets, may have, and must not have.
    {"ipv4/ip_local_port_range", "32768\t60999", true},
    {"ipv4/ip_local_reserved_ports", "", true},
    {"ipv4/ip_unprivileged_port_start", "1024", true},
    {"ipv4/ip_nonlocal_bind", "0", true},
    {"ipv6/ip_nonlocal_bind", "0", true},
    {"ipv6/bindv6only", "0", true},
    // Who may ping without a capability.
    {"ipv4/ping_group_range", "1\t0", true},
    // Databases and proxies have these tuned, by CNI's tuning plugin or a hook.
    {"core/somaxconn", "4096", true},
    {"ipv4/tcp_keepalive_time", "7200", true},
    {"ipv4/tcp_keepalive_intvl", "75", true},
    {"ipv4/tcp_keepalive_probes", "9", true},
    {"ipv4/tcp_fin_timeout", "60", true},
    {"ipv4/tcp_syn_retries", "6", true},
    {"ipv4/tcp_synack_retries", "5", true},
    {"ipv4/tcp_retries2", "15", true},
    {"ipv4/tcp_tw_reuse", "2", true},
    // How packets travel, which by sockets is the host's business. Left out are those whose first
    // value follows from the machine's memory (tcp_rmem, tcp_max_syn_backlog, ...), and
    // tcp_congestion_control, for which the guest's kernel may have no code.
    {"ipv4/ip_default_ttl", "64", false},
    {"ipv4/ip_no_pmtu_disc", "0", false},
    {"ipv4/tcp_mtu_probing", "0", false},
    {"ipv4/tcp_ecn", "2", false},
    {"ipv4/tcp_sack", "1", false},
    {"ipv4/tcp_timestamps", "1", false},
    {"ipv4/tcp_window_scaling", "1", false},
    {"ipv4/tcp_syncookies", "1", false},
    {"ipv4/tcp_slow_start_after_idle", "1", false},
    {"ipv4/fwmark_reflect", "0", false},
    {"ipv4/tcp_fwmark_accept", "0", false},
    // Whether it answers.
    {"ipv4/icmp_echo_ignore_all", "0", false},
    {"ipv4/icmp_echo_ignore_broadcasts", "1", false},
    {"ipv6/icmp/echo_ignore_all", "0", false},
};

// One that each interface has, and "all" and "default" beside them: `place` is where the kernel
// tells it of an interface, IPV4_DEVCONF_* - 1 and DEVCONF_* of headers of the kernel's that cannot
// be had beside netinet/in.h.
struct LinkEntry {
  const char* name;
  size_t place;
  const char* fresh_of_all;
  const char* fresh_of_default;
  // To write that of "all" sets the others, too.
  bool spreads = false;
};

constexpr LinkEntry kOfIpv4[] = {
    // Whose packets go through.
    {"forwarding", 0, "0", "0", true},
    {"rp_filter", 7, "0", "0"},
    {"accept_local", 22, "0", "0"},
    {"route_localnet", 25, "0", "0"},
    {"src_valid_mark", 23, "0", "0"},
    {"accept_source_route", 8, "0", "1"},
    {"log_martians", 10, "0", "0"},
    // Hardening guides turn these off.
    {"accept_redirects", 3, "1", "1"},
    {"secure_redirects", 4, "1", "1"},
    {"send_redirects", 5, "1", "1"},
    // Several interfaces in one network, addresses that move (keepalived, MetalLB).
    {"arp_filter", 12, "0", "0"},
    {"arp_announce", 17, "0", "0"},
    {"arp_ignore", 18, "0", "0"},
    {"arp_accept", 20, "0", "0"},
    {"arp_notify", 21, "0", "0"},
    {"proxy_arp", 2, "0", "0"},
    // systemd turns it on for all that is new.
    {"promote_secondaries", 19, "0", "0"},
};

constexpr LinkEntry kOfIpv6[] = {
    // Engines turn it off where a network has no IPv6. It comes first.
    {"disable_ipv6", 26, "0", "0", true},
    {"forwarding", 0, "0", "0", true},
    // What is believed of routers, and what an interface makes of it: engines, which give addresses
    // themselves, turn it off.
    {"accept_ra", 3, "1", "1"},
    {"accept_ra_defrtr", 17, "1", "1"},
    {"accept_ra_pinfo", 18, "1", "1"},
    {"autoconf", 5, "1", "1"},
    {"use_tempaddr", 10, "0", "0"},
    {"accept_redirects", 4, "1", "1"},
    // No wait for others that might have the address.
    {"accept_dad", 27, "0", "1"},
    {"dad_transmits", 6, "1", "1"},
    {"ndisc_notify", 29, "0", "0"},
    {"proxy_ndp", 22, "0", "0"},
    {"keep_addr_on_down", 42, "0", "0"},
};

std::string PathOf(std::string_view family, std::string_view link, std::string_view name) {
  return fmt::format("{}/conf/{}/{}", family, link, name);
}

// There are many of them, and each start reads them: with one read(2), not to the end of the file.
class Reader {
 public:
  void Read(const std::string& path) {
    const sys::UniqueFd fd(::openat(root_.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 4096> buffer;
    const ssize_t size = fd ? ::read(fd.get(), buffer.data(), buffer.size()) : -1;
    if (size < 0) return;
    std::string_view value(buffer.data(), static_cast<size_t>(size));
    while (value.ends_with('\n')) value.remove_suffix(1);
    settings_.emplace(path, value);
  }
  Settings Take() { return std::move(settings_); }

 private:
  const sys::UniqueFd root_{::open("/proc/sys/net", O_PATH | O_CLOEXEC)};
  Settings settings_;
};

// By sockets a guest has one interface, which leads nowhere but here.
bool IsForSockets(const LinkEntry& entry) { return entry.name == std::string_view("forwarding"); }

template <size_t kCount>
void ReadLinkEntries(const LinkEntry (&entries)[kCount], std::string_view family, SettingsFor path,
                     Reader* reader) {
  for (const LinkEntry& each : entries) {
    if (path == SettingsFor::kSockets) {
      if (IsForSockets(each)) reader->Read(PathOf(family, "all", each.name));
      continue;
    }
    for (const char* link : {"all", "default"}) reader->Read(PathOf(family, link, each.name));
  }
}

void PutUnless(const Settings& read, const std::string& path, std::string_view fresh,
               Settings* plan) {
  const auto found = read.find(path);
  if (found != read.end() && found->second != fresh) plan->insert(*found);
}

// What the guest has where it is told of nothing but what "all" has.
std::optional<std::string> Fresh(const LinkEntry& entry, std::string_view family,
                                 const Settings& read) {
  if (!entry.spreads) return entry.fresh_of_default;
  const auto all = read.find(PathOf(family, "all", entry.name));
  if (all == read.end()) return std::nullopt;
  return all->second;
}

template <size_t kCount>
void PlanLinkEntries(const LinkEntry (&entries)[kCount], std::string_view family,
                     const Settings& read, Settings* plan) {
  for (const LinkEntry& each : entries) {
    PutUnless(read, PathOf(family, "all", each.name), each.fresh_of_all, plan);
    const auto fresh = Fresh(each, family, read);
    if (fresh) PutUnless(read, PathOf(family, "default", each.name), *fresh, plan);
  }
}

// The guest's may be older than what it is told of "default": that must be the same, too.
template <size_t kCount>
void PlanLink(const LinkEntry (&entries)[kCount], std::string_view family, const sys::Link& link,
              const std::vector<int32_t>& values, const Settings& read, Settings* plan) {
  for (const LinkEntry& each : entries) {
    const auto fresh = Fresh(each, family, read);
    const auto usual = read.find(PathOf(family, "default", each.name));
    if (!fresh || usual == read.end() || each.place >= values.size()) continue;
    std::string value = std::to_string(values[each.place]);
    if (value == *fresh && value == usual->second) continue;
    plan->emplace(PathOf(family, link.name, each.name), std::move(value));
  }
}

}  // namespace

Settings ReadSettings(SettingsFor path) {
  Reader reader;
  for (const Entry& each : kEntries) {
    if (each.for_sockets || path == SettingsFor::kFrames) reader.Read(each.path);
  }
  ReadLinkEntries(kOfIpv4, "ipv4", path, &reader);
  ReadLinkEntries(kOfIpv6, "ipv6", path, &reader);
  return reader.Take();
}

Settings PlanSettings(const Settings& read, const NamespaceView& view, SettingsFor path) {
  Settings plan;
  for (const Entry& each : kEntries) PutUnless(read, each.path, each.fresh, &plan);
  PlanLinkEntries(kOfIpv4, "ipv4", read, &plan);
  PlanLinkEntries(kOfIpv6, "ipv6", read, &plan);
  if (path == SettingsFor::kSockets) return plan;
  for (const Endpoint& each : view.endpoints) {
    PlanLink(kOfIpv4, "ipv4", each.link, each.link.ipv4_settings, read, &plan);
    PlanLink(kOfIpv6, "ipv6", each.link, each.link.ipv6_settings, read, &plan);
  }
  if (!view.loopback) return plan;
  PlanLink(kOfIpv4, "ipv4", *view.loopback, view.loopback->ipv4_settings, read, &plan);
  // Of IPv6, the kernel makes exceptions of the loopback by itself.
  PlanLink({kOfIpv6[0]}, "ipv6", *view.loopback, view.loopback->ipv6_settings, read, &plan);
  return plan;
}

}  // namespace kata::network
