// SPDX-License-Identifier: Apache-2.0
//
// Needs root: the kernel itself runs the programs, on frames that the tests make.
#include "host/network/egress_guard.h"

#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "sys/bpf.h"
#include "sys/files.h"
#include "sys/testing/network_test.h"
#include "sys/traffic_control.h"

namespace kata::network {
namespace {

std::string Be16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}

// A frame, made of what the tests change.
struct Frame {
  std::string to = "192.0.2.1";
  uint8_t protocol = IPPROTO_TCP;
  uint16_t port = 80;
  std::string from = {};
  uint16_t from_port = 40000;
  uint8_t tcp_flags = 0x02;
  unsigned fragment = 0;  // as in the header of IPv4: offset in units of eight, and 0x2000 for more
  std::string vlans = {};
  std::string options = {};     // of IPv4
  std::string extensions = {};  // of IPv6, the first one's number in `first`
  int first = -1;
  int hop_limit = 64;
  unsigned type = 0;  // of ICMP
  size_t cut = std::string::npos;

  std::string Transport() const {
    switch (protocol) {
      case IPPROTO_TCP:
        return Be16(from_port) + Be16(port) + std::string(8, '\0') + '\x50' +
               static_cast<char>(tcp_flags) + std::string(6, '\0');
      case IPPROTO_UDP:
      case IPPROTO_SCTP:
        return Be16(from_port) + Be16(port) + std::string(8, '\0');
      default:
        return static_cast<char>(type) + std::string(15, '\0');
    }
  }

  std::string Bytes() const {
    const auto destination = *sys::IpAddress::Parse(to);
    const bool v4 = destination.family == AF_INET;
    const auto source = *sys::IpAddress::Parse(!from.empty() ? from : v4 ? "10.0.0.2" : "fd00::2");
    std::string bytes(12, '\x02');
    bytes += vlans + Be16(v4 ? ETH_P_IP : ETH_P_IPV6);
    if (v4) {
      bytes += static_cast<char>(0x45 + options.size() / 4) + std::string(5, '\0') +
               Be16(fragment) + '\x40' + static_cast<char>(protocol) + std::string(2, '\0');
      bytes += source.Bytes();
      bytes += destination.Bytes();
      bytes += options;
    } else {
      bytes += '\x60' + std::string(5, '\0') +
               static_cast<char>(first >= 0 ? first : static_cast<int>(protocol)) +
               static_cast<char>(hop_limit);
      bytes += source.Bytes();
      bytes += destination.Bytes();
      bytes += extensions;
    }
    return (bytes + Transport()).substr(0, cut);
  }
};

std::string Extension(int next) { return static_cast<char>(next) + std::string(7, '\0'); }

class EgressGuardTest : public sys::testing::NetworkTest {
 protected:
  void Load(const std::vector<std::string>& allow, const std::vector<std::string>& deny,
            bool stand_ins = false) {
    auto rules = egress::ParseRules(allow, deny);
    ASSERT_TRUE(rules) << rules.error().message();
    LoadPolicy({*rules}, stand_ins);
  }

  void LoadPolicy(egress::Policy policy, bool stand_ins = false) {
    policy_ = std::move(policy);
    flows_ = *sys::MakeBpfMap(BPF_MAP_TYPE_LRU_HASH, "flows", kEgressFlowSize, 1, 64);
    counts_ = *sys::MakeBpfMap(BPF_MAP_TYPE_ARRAY, "counts", 4, 8, 2);
    const EgressMaps maps{.flows = flows_.get(), .counts = counts_.get()};
    const auto judge = JudgeEgress(policy_, {.stand_ins = stand_ins}, maps);
    ASSERT_TRUE(judge) << judge.error().message();
    auto loaded = sys::LoadBpfProgram(BPF_PROG_TYPE_SCHED_CLS, "judge", *judge);
    ASSERT_TRUE(loaded) << loaded.error().message();
    judge_ = *std::move(loaded);
    loaded = sys::LoadBpfProgram(BPF_PROG_TYPE_SCHED_CLS, "note",
                                 *NoteIngress({.stand_ins = stand_ins}, maps));
    ASSERT_TRUE(loaded) << loaded.error().message();
    note_ = *std::move(loaded);
  }

  bool BytesPass(const std::string& frame) {
    const auto verdict = sys::TryBpfProgram(judge_.get(), frame);
    EXPECT_TRUE(verdict) << verdict.error().message();
    EXPECT_TRUE(!verdict || *verdict == TC_ACT_SHOT || *verdict == TC_ACT_UNSPEC) << *verdict;
    return verdict && *verdict == TC_ACT_UNSPEC;
  }
  bool Passes(const Frame& frame) { return BytesPass(frame.Bytes()); }
  void Note(const Frame& frame) {
    EXPECT_EQ(sys::TryBpfProgram(note_.get(), frame.Bytes()), TC_ACT_UNSPEC);
  }
  // Without what the kernel sends by itself, which would be counted, too.
  void MakeVeth() {
    ASSERT_TRUE(sys::RunOnNetnsThread(ns_.get(), [] {
      for (const char* link : {"all", "default"}) {
        (void)sys::WriteControl(fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", link), "1");
      }
    }));
    ASSERT_TRUE(sys::AddVethPair(*socket_, "eth0", "far"));
    for (const char* name : {"far", "eth0"}) {
      ASSERT_TRUE(sys::ChangeLink(*socket_, Find(name).index, {.up = true}));
    }
  }
  static EgressGuard GuardFrom(const std::string& network) {
    const std::vector<std::string> deny{network};
    return *EgressGuard::Make({*egress::ParseRules({}, deny)}, {});
  }
  uint64_t Count(uint32_t place) { return *sys::ReadBpfCounter(counts_.get(), place); }

  egress::Policy policy_;
  sys::UniqueFd flows_;
  sys::UniqueFd counts_;
  sys::UniqueFd judge_;
  sys::UniqueFd note_;
};

TEST_F(EgressGuardTest, WhatIsDeniedIsDroppedAndCounted) {
  Load({"192.0.2.1 443/tcp"}, {"192.0.2.0/24", "2001:db8::/32 53/udp"});
  EXPECT_FALSE(Passes({.to = "192.0.2.1"}));
  EXPECT_FALSE(Passes({.to = "192.0.2.1", .tcp_flags = 0x10}));
  EXPECT_FALSE(Passes({.to = "192.0.2.255", .protocol = IPPROTO_UDP}));
  EXPECT_FALSE(Passes({.to = "192.0.2.1", .protocol = IPPROTO_ICMP}));
  EXPECT_FALSE(Passes({.to = "2001:db8::1", .protocol = IPPROTO_UDP, .port = 53}));
  EXPECT_EQ(Count(kDeniedPackets), 5U);
  EXPECT_EQ(Count(kDeniedConnections), 1U);
  EXPECT_TRUE(Passes({.to = "192.0.2.1", .port = 443}));
  EXPECT_TRUE(Passes({.to = "192.0.3.1"}));
  EXPECT_TRUE(Passes({.to = "2001:db8::1", .protocol = IPPROTO_TCP, .port = 53}));
  EXPECT_EQ(Count(kDeniedPackets), 5U);
}

TEST_F(EgressGuardTest, ThePolicySaysTheSameOfEverything) {
  std::mt19937 random(7);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  const char* const networks[] = {"",          "10.0.0.0/8",  "10.1.0.0/16", "0.0.0.0/0",
                                  "10.1.2.3",  "::/0",        "fd00::/9",    "fd00:1::/48",
                                  "fd00:1::3", "128.0.0.0/1", "10.1.2.2/31", "fd00::1:0:0/96"};
  const char* const services[] = {"",     "tcp",    "udp",        "icmp",           "80/tcp",
                                  "sctp", "53/udp", "1-1023/tcp", "1024-65535/udp", "80/sctp"};
  const char* const addresses[] = {"10.1.2.3",  "10.1.2.2",    "10.2.0.1", "192.0.2.1",
                                   "fd00:1::3", "fd00::1:0:5", "fd80::1",  "2001:db8::1"};
  const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, 47};
  const uint16_t ports[] = {1, 53, 80, 1023, 1024, 65535};
  for (int round = 0; round < 100; ++round) {
    egress::Policy policy(1 + below(2));
    for (egress::Rules& rules : policy) {
      for (auto* list : {&rules.allow, &rules.deny}) {
        for (unsigned count = below(4); count > 0; --count) {
          const std::string network = networks[below(std::size(networks))];
          const std::string service = services[below(std::size(services))];
          if (auto rule = egress::ParseRule(network + " " + service)) list->push_back(*rule);
        }
      }
    }
    LoadPolicy(policy);
    for (const char* address : addresses) {
      for (const uint8_t protocol : protocols) {
        for (const uint16_t port : ports) {
          const auto parsed = *sys::IpAddress::Parse(address);
          const bool has_port = protocol != 47;
          const Frame frame{.to = address, .protocol = protocol, .port = port};
          EXPECT_EQ(Passes(frame),
                    egress::Allows(policy, protocol, parsed,
                                   has_port ? std::optional<uint16_t>(port) : std::nullopt))
              << "round " << round << " " << address << " " << int{protocol} << " " << port;
          if (parsed.family != AF_INET) continue;
          Frame later = frame;
          later.fragment = 5;
          EXPECT_EQ(Passes(later), egress::Allows(policy, protocol, parsed, std::nullopt))
              << "round " << round << " fragment " << address << " " << int{protocol};
        }
      }
    }
  }
}

TEST_F(EgressGuardTest, HeadersInBetweenHideNothing) {
  Load({}, {"2001:db8::/32 25/tcp", "192.0.2.0/24 25/tcp"});
  const std::string vlan("\x81\x00\x00\x07", 4);
  const std::string service_vlan("\x88\xa8\x00\x07", 4);
  const Frame denied4{.to = "192.0.2.1", .port = 25};
  const Frame denied6{.to = "2001:db8::1", .port = 25};
  for (const bool allowed : {false, true}) {
    const auto check = [&](Frame frame, const char* what) {
      if (allowed) frame.port = 26;
      EXPECT_EQ(Passes(frame), allowed) << what;
    };
    for (const std::string& tags : {vlan, service_vlan}) {
      Frame frame = denied4;
      frame.vlans = tags;
      check(frame, "VLAN");
      frame = denied6;
      frame.vlans = tags;
      check(frame, "VLAN");
    }
    Frame frame = denied4;
    frame.options = std::string("\x94\x04\x00\x00", 4);
    check(frame, "router alert");
    frame = denied4;
    frame.fragment = 0x2000;
    check(frame, "first fragment");
    frame = denied6;
    frame.first = IPPROTO_HOPOPTS;
    frame.extensions = Extension(IPPROTO_DSTOPTS) + Extension(IPPROTO_TCP);
    check(frame, "options");
    frame.first = IPPROTO_FRAGMENT;
    frame.extensions = Extension(IPPROTO_TCP);
    check(frame, "first fragment of IPv6");
    frame.first = IPPROTO_DSTOPTS;
    frame.extensions = std::string("\x06\x01", 2) + std::string(14, '\0');
    check(frame, "options of 16 bytes");
  }
}

TEST_F(EgressGuardTest, WhatCannotBeJudgedIsDropped) {
  Load({}, {"198.51.100.0/24"});
  const std::string vlan("\x81\x00\x00\x07", 4);
  EXPECT_FALSE(Passes({.vlans = vlan + vlan})) << "two tags";
  EXPECT_FALSE(Passes({.options = std::string("\x83\x07\x04\x0a\x00\x00\x01\x00", 8)}))
      << "source route";
  EXPECT_FALSE(Passes({.options = std::string("\x83\x03\x04\x00", 4)})) << "source route";
  Frame six{.to = "2001:db8::1", .extensions = Extension(IPPROTO_TCP), .first = IPPROTO_ROUTING};
  EXPECT_FALSE(Passes(six)) << "routing header";
  six.first = IPPROTO_HOPOPTS;
  six.extensions = "";
  for (int i = 0; i < 8; ++i) six.extensions += Extension(IPPROTO_DSTOPTS);
  EXPECT_FALSE(Passes(six)) << "many headers";
  six.first = IPPROTO_FRAGMENT;
  six.extensions = Extension(IPPROTO_DSTOPTS) + Extension(IPPROTO_TCP);
  EXPECT_FALSE(Passes(six)) << "options behind a fragment header";
  const std::string whole = Frame().Bytes();
  // The kernel tries none without a whole header of IPv4.
  for (size_t size = 34; size < whole.size() - 6; ++size) {
    EXPECT_FALSE(BytesPass(whole.substr(0, size))) << size << " bytes";
  }
  std::string other = whole;
  other.replace(12, 2, "\x88\x64");
  EXPECT_FALSE(BytesPass(other)) << "PPPoE";
  other.replace(12, 2, std::string("\x00\x2e", 2));
  EXPECT_FALSE(BytesPass(other)) << "a length";
  other = whole;
  other[14] = '\x65';
  EXPECT_FALSE(BytesPass(other)) << "a version that is none";
}

TEST_F(EgressGuardTest, NeighboursAreFoundWhateverIsDenied) {
  Load({}, {"0.0.0.0/0", "::/0"});
  std::string arp = Frame().Bytes();
  arp.replace(12, 2, "\x08\x06");
  EXPECT_TRUE(BytesPass(arp));
  const Frame neighbor{
      .to = "ff02::1:ff00:1", .protocol = IPPROTO_ICMPV6, .hop_limit = 255, .type = 135};
  for (const unsigned type : {133U, 134U, 135U, 136U}) {
    Frame frame = neighbor;
    frame.type = type;
    EXPECT_TRUE(Passes(frame)) << type;
    frame.hop_limit = 64;
    EXPECT_FALSE(Passes(frame)) << "from afar " << type;
  }
  const Frame report{.to = "ff02::16", .protocol = IPPROTO_ICMPV6, .hop_limit = 1, .type = 143};
  EXPECT_TRUE(Passes(report));
  for (const unsigned type : {1U, 128U, 129U, 137U, 200U}) {
    Frame frame = neighbor;
    frame.type = type;
    EXPECT_FALSE(Passes(frame)) << type;
  }
}

TEST_F(EgressGuardTest, WhoHasOpenedAConnectionIsAnswered) {
  Load({}, {"0.0.0.0/0", "::/0"});
  for (const bool v4 : {true, false}) {
    const std::string peer = v4 ? "192.0.2.9" : "2001:db8::9";
    const std::string own = v4 ? "10.0.0.2" : "fd00::2";
    const Frame answer{.to = peer, .port = 55555, .from = own, .from_port = 80, .tcp_flags = 0x12};
    EXPECT_FALSE(Passes(answer));
    Frame asks{.to = own, .port = 80, .from = peer, .from_port = 55555, .tcp_flags = 0x12};
    Note(asks);
    EXPECT_FALSE(Passes(answer)) << "that was an answer itself";
    asks.tcp_flags = 0x02;
    Note(asks);
    EXPECT_TRUE(Passes(answer));
    for (Frame other : {answer, answer, answer}) {
      static int change = 0;
      change % 3 == 0 ? ++other.port : change % 3 == 1 ? ++other.from_port : other.protocol = 17;
      ++change;
      EXPECT_FALSE(Passes(other)) << change;
    }
  }
}

TEST_F(EgressGuardTest, StandInsAreTheHostsLoopback) {
  Load({"127.0.0.1 5432/tcp", "::1 5432/tcp"}, {"127.0.0.0/8", "::1", "192.0.0.0/24", "100::/64"},
       true);
  EXPECT_TRUE(Passes({.to = "192.0.0.7", .port = 5432}));
  EXPECT_FALSE(Passes({.to = "192.0.0.7", .port = 80}));
  EXPECT_FALSE(Passes({.to = "192.0.0.8", .port = 5432}));
  EXPECT_TRUE(Passes({.to = "100::7", .port = 5432}));
  EXPECT_FALSE(Passes({.to = "100::7", .port = 80}));
}

TEST_F(EgressGuardTest, AsManyRulesAsThereMayBeAreLoaded) {
  std::vector<std::string> allow;
  std::vector<std::string> deny;
  for (size_t i = 0; i < egress::kMostRules / 2; ++i) {
    allow.push_back("2001:db8::" + std::to_string(i) + "/127");
    deny.push_back("2001:db8::/33 " + std::to_string(i * 10 + 1) + "-" +
                   std::to_string(i * 10 + 5) + "/tcp");
  }
  auto rules = egress::ParseRules(allow, deny);
  ASSERT_TRUE(rules);
  LoadPolicy({*rules, *rules});
  EXPECT_TRUE(Passes({.to = "2001:db8::1", .port = 1}));
  EXPECT_FALSE(Passes({.to = "2001:db8:1::1", .port = 1}));
  EXPECT_TRUE(Passes({.to = "2001:db8:1::1", .port = 7}));
}

TEST_F(EgressGuardTest, ATapIsGuardedBeforeItIsConnectedAndWhileItIs) {
  constexpr size_t kTapHeader = 10;
  MakeVeth();
  const auto tap = MakeSpareTap(ns_.get(), *socket_, TapName(0), 1);
  ASSERT_TRUE(tap) << tap.error().message();
  const EgressGuard guard = GuardFrom("192.0.2.0/24");
  EXPECT_FALSE(*CountEgress(*socket_, tap->link, Model::kTcFilter));
  const auto put = guard.Put(*socket_, tap->link, Model::kTcFilter);
  ASSERT_TRUE(put) << put.error().message();
  const auto send = [&](const std::string& to, const std::string& vlans = "") {
    const std::string frame =
        std::string(kTapHeader, '\0') + Frame{.to = to, .vlans = vlans}.Bytes();
    EXPECT_EQ(::write(tap->fds.front().get(), frame.data(), frame.size()),
              static_cast<ssize_t>(frame.size()));
  };
  const auto counts = [&] {
    const auto found = CountEgress(*socket_, tap->link, Model::kTcFilter);
    EXPECT_TRUE(found) << found.error().message();
    return found.value_or(std::nullopt).value_or(EgressCounts());
  };
  const auto received = [&] { return Find("far").counters.rx_packets; };
  send("192.0.2.1");
  EXPECT_EQ(counts().packets, 1U);
  const Endpoint endpoint{.link = Find("eth0"), .addresses = {}, .neighbors = {}};
  const auto connected = Connect(Model::kTcFilter, *socket_, endpoint, *tap);
  ASSERT_TRUE(connected) << connected.error().message();
  const uint64_t before = received();
  send("192.0.2.1");
  EXPECT_EQ(received(), before);
  // The kernel takes the first tag out of a frame that comes in.
  const std::string vlan("\x81\x00\x00\x07", 4);
  send("192.0.2.1", vlan);
  send("192.0.2.1", vlan + vlan);
  send("198.51.100.1", vlan + vlan + vlan);
  EXPECT_EQ(received(), before);
  EXPECT_EQ(counts().packets, 5U);
  EXPECT_EQ(counts().connections, 4U);
  send("198.51.100.1");
  EXPECT_EQ(received(), before + 1);
  EXPECT_EQ(counts().packets, 5U);
  EXPECT_TRUE(Disconnect(*socket_, {.interface = "eth0",
                                    .link = endpoint.link.index,
                                    .tap = tap->name,
                                    .model = Model::kTcFilter}));
  EXPECT_FALSE(*CountEgress(*socket_, tap->link, Model::kTcFilter));
}

TEST_F(EgressGuardTest, AMacvtapIsGuardedWhereItGoesOut) {
  constexpr size_t kTapHeader = 10;
  MakeVeth();
  const Endpoint endpoint{.link = Find("eth0"), .addresses = {}, .neighbors = {}};
  const auto tap = MakeTapFor(Model::kMacvtap, ns_.get(), *socket_, endpoint, TapName(0), 1);
  ASSERT_TRUE(tap) << tap.error().message();
  const EgressGuard guard = GuardFrom("192.0.2.0/24");
  const auto put = guard.Put(*socket_, tap->link, Model::kMacvtap);
  ASSERT_TRUE(put) << put.error().message();
  const uint64_t before = Find("far").counters.rx_packets;
  for (const char* to : {"192.0.2.1", "198.51.100.1"}) {
    const std::string frame = std::string(kTapHeader, '\0') + Frame{.to = to}.Bytes();
    (void)::write(tap->fds.front().get(), frame.data(), frame.size());
  }
  EXPECT_EQ(Find("far").counters.rx_packets, before + 1);
  const auto counts = CountEgress(*socket_, tap->link, Model::kMacvtap);
  ASSERT_TRUE(counts && *counts);
  EXPECT_EQ((*counts)->packets, 1U);
}

TEST_F(EgressGuardTest, ATapOfSomebodyElseIsRefused) {
  Endpoint endpoint{.link = {}, .addresses = {}, .neighbors = {}};
  endpoint.link.name = "tap7";
  EXPECT_TRUE(EgressGuard::Check(endpoint, Model::kTcFilter));
  endpoint.link.kind = "tun";
  const auto checked = EgressGuard::Check(endpoint, Model::kTcFilter);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message().find("\"tap7\""), std::string::npos);
  EXPECT_TRUE(EgressGuard::Check(endpoint, Model::kSockets));
}

}  // namespace
}  // namespace kata::network
