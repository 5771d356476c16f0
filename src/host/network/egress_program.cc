// SPDX-License-Identifier: Apache-2.0
#include "host/network/egress_program.h"

#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <sys/socket.h>

#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include <netinet/in.h>

#include "host/network/two_namespaces.h"
#include "sys/bpf.h"

namespace kata::network {
namespace {

using sys::BpfAssembler;
using Label = BpfAssembler::Label;

// Registers that outlive calls.
constexpr int kContext = BPF_REG_6;
constexpr int kOffset = BPF_REG_7;  // of the header that comes next, in the frame
constexpr int kNext = BPF_REG_8;    // its protocol
// What was read of the frame, below the frame pointer.
constexpr int kSmall = -8;       // a few bytes of a header
constexpr int kTransport = -24;  // ports, and of TCP the flags
constexpr int kNetwork = -64;    // the header of IPv4 or IPv6
constexpr int kFlow = -104;      // remote and local address, remote and local port
static_assert(kFlow + static_cast<int>(kEgressFlowSize) <= kNetwork);

constexpr int kEtherTypeAt = 12;
constexpr int kVlanTag = 4;
constexpr int kMostExtensions = 6;
constexpr int kTcpNeeded = 14;  // up to the flags
constexpr int kTcpFlagsAt = 13;
constexpr uint32_t kSynAndAck = 0x12;
constexpr uint32_t kOpening = 0x02;
constexpr uint32_t kRouterAlert = 148;
constexpr uint32_t kRarp = ETH_P_RARP;

// Where the header of a family has its addresses.
struct Family {
  int number;
  int source;
  int destination;
  int words;  // of an address
};
constexpr Family kIpv4{.number = AF_INET, .source = 12, .destination = 16, .words = 1};
constexpr Family kIpv6{.number = AF_INET6, .source = 8, .destination = 24, .words = 4};

// A word of an address as it is loaded: bytes in the network's order.
uint32_t WordOf(const sys::IpAddress& address, int word) {
  uint32_t value = 0;
  std::memcpy(&value, address.bytes.data() + static_cast<size_t>(word) * 4, sizeof value);
  return value;
}

uint32_t MaskOf(uint8_t length, int word) {
  sys::IpAddress mask{.family = AF_INET6};
  for (size_t bit = 0; bit < length; ++bit) {
    mask.bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> (bit % 8));
  }
  return WordOf(mask, word);
}

// Puts together what both programs have in common: reading headers.
class Packet {
 public:
  // `bad`: where to go with what cannot be read.
  Packet(BpfAssembler& code, Label bad) : code_(code), bad_(bad) {}

  // Reads `size` bytes at kOffset, and so many more, to the stack.
  void Read(int to, int size, int more = 0) {
    code_.Copy(BPF_REG_1, kContext);
    code_.Copy(BPF_REG_2, kOffset);
    if (more != 0) code_.Do(BPF_ADD, BPF_REG_2, more);
    code_.Copy(BPF_REG_3, BPF_REG_10);
    code_.Do(BPF_ADD, BPF_REG_3, to);
    code_.Set(BPF_REG_4, size);
    code_.Call(BPF_FUNC_skb_load_bytes);
    code_.JumpIf(BPF_JNE, BPF_REG_0, 0, bad_);
  }

  // Goes to `ipv4` or `ipv6` with kOffset at its header, to `arp`, or to `bad`.
  void ReadEthernet(Label ipv4, Label ipv6, Label arp) {
    const Label untagged = code_.NewLabel();
    const Label tagged = code_.NewLabel();
    code_.Copy(kContext, BPF_REG_1);
    code_.Set(kOffset, 0);
    ReadType();
    code_.JumpIf(BPF_JEQ, BPF_REG_1, ETH_P_8021Q, tagged);
    code_.JumpIf(BPF_JNE, BPF_REG_1, ETH_P_8021AD, untagged);
    code_.Bind(tagged);
    code_.Set(kOffset, kVlanTag);
    ReadType();
    code_.Bind(untagged);
    code_.Do(BPF_ADD, kOffset, ETH_HLEN);
    code_.JumpIf(BPF_JEQ, BPF_REG_1, ETH_P_IP, ipv4);
    code_.JumpIf(BPF_JEQ, BPF_REG_1, ETH_P_IPV6, ipv6);
    code_.JumpIf(BPF_JEQ, BPF_REG_1, ETH_P_ARP, arp);
    code_.JumpIf(BPF_JEQ, BPF_REG_1, kRarp, arp);
    code_.Jump(bad_);
  }

  // Leaves the protocol in kNext, its header at kOffset. Later fragments go to `later`.
  void ReadIpv4(Label later) {
    const Label plain = code_.NewLabel();
    Read(kNetwork, 20);
    code_.Load(BPF_B, BPF_REG_1, BPF_REG_10, kNetwork);
    code_.JumpIf(BPF_JEQ, BPF_REG_1, 0x45, plain);
    code_.JumpIf(BPF_JNE, BPF_REG_1, 0x46, bad_);
    Read(kSmall, 1, 20);
    code_.Load(BPF_B, BPF_REG_1, BPF_REG_10, kSmall);
    code_.JumpIf(BPF_JNE, BPF_REG_1, kRouterAlert, bad_);
    code_.Do(BPF_ADD, kOffset, 4);
    code_.Bind(plain);
    code_.Do(BPF_ADD, kOffset, 20);
    code_.Load(BPF_B, kNext, BPF_REG_10, kNetwork + 9);
    code_.Load(BPF_H, BPF_REG_1, BPF_REG_10, kNetwork + 6);
    code_.FromNetwork(BPF_REG_1, 16);
    code_.Do(BPF_AND, BPF_REG_1, 0x1fff);
    code_.JumpIf(BPF_JNE, BPF_REG_1, 0, later);
  }

  // Likewise.
  void ReadIpv6(Label later) {
    const Label done = code_.NewLabel();
    Read(kNetwork, 40);
    code_.Load(BPF_B, BPF_REG_1, BPF_REG_10, kNetwork);
    code_.Do(BPF_AND, BPF_REG_1, 0xf0);
    code_.JumpIf(BPF_JNE, BPF_REG_1, 0x60, bad_);
    code_.Load(BPF_B, kNext, BPF_REG_10, kNetwork + 6);
    code_.Do(BPF_ADD, kOffset, 40);
    for (int i = 0; i < kMostExtensions; ++i) ReadExtension(done, later);
    // More of them than anybody sends.
    RefuseExtensions();
    code_.Bind(done);
  }

 private:
  void ReadType() {
    Read(kSmall, 2, kEtherTypeAt);
    code_.Load(BPF_H, BPF_REG_1, BPF_REG_10, kSmall);
    code_.FromNetwork(BPF_REG_1, 16);
  }

  void ReadExtension(Label done, Label later) {
    const Label options = code_.NewLabel();
    const Label fragment = code_.NewLabel();
    const Label next = code_.NewLabel();
    code_.JumpIf(BPF_JEQ, kNext, IPPROTO_HOPOPTS, options);
    code_.JumpIf(BPF_JEQ, kNext, IPPROTO_DSTOPTS, options);
    code_.JumpIf(BPF_JEQ, kNext, IPPROTO_FRAGMENT, fragment);
    code_.JumpIf(BPF_JEQ, kNext, IPPROTO_ROUTING, bad_);
    code_.Jump(done);
    code_.Bind(options);
    Read(kSmall, 2);
    code_.Load(BPF_B, kNext, BPF_REG_10, kSmall);
    code_.Load(BPF_B, BPF_REG_1, BPF_REG_10, kSmall + 1);
    code_.Do(BPF_LSH, BPF_REG_1, 3);
    code_.DoRegister(BPF_ADD, kOffset, BPF_REG_1);
    code_.Do(BPF_ADD, kOffset, 8);
    code_.Jump(next);
    code_.Bind(fragment);
    Read(kSmall, 4);
    code_.Do(BPF_ADD, kOffset, 8);
    code_.Load(BPF_B, kNext, BPF_REG_10, kSmall);
    // Behind it, options could be written over by another fragment, and so could ports.
    RefuseExtensions();
    code_.Load(BPF_H, BPF_REG_1, BPF_REG_10, kSmall + 2);
    code_.FromNetwork(BPF_REG_1, 16);
    code_.Do(BPF_AND, BPF_REG_1, 0xfff8);
    code_.JumpIf(BPF_JNE, BPF_REG_1, 0, later);
    code_.Jump(done);
    code_.Bind(next);
  }

  void RefuseExtensions() {
    for (const int each : {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_ROUTING}) {
      code_.JumpIf(BPF_JEQ, kNext, static_cast<uint32_t>(each), bad_);
    }
  }

  BpfAssembler& code_;
  const Label bad_;
};

// Where the stand-in of a loopback is at `at` of the header, puts the loopback there.
void ReplaceStandIn(BpfAssembler& code, const Family& family, int at) {
  const bool v4 = family.number == AF_INET;
  const auto stand_in = *sys::IpAddress::Parse(v4 ? kLoopback4 : kLoopback6);
  const auto loopback = *sys::IpAddress::Parse(v4 ? "127.0.0.1" : "::1");
  const Label other = code.NewLabel();
  for (int word = 0; word < family.words; ++word) {
    code.Load(BPF_W, BPF_REG_1, BPF_REG_10, kNetwork + at + word * 4);
    code.JumpIf(BPF_JNE, BPF_REG_1, WordOf(stand_in, word), other);
  }
  for (int word = 0; word < family.words; ++word) {
    code.StoreNumber(BPF_W, BPF_REG_10, kNetwork + at + word * 4,
                     static_cast<int32_t>(WordOf(loopback, word)));
  }
  code.Bind(other);
}

// Puts the flow's key together, seen from the remote address at `remote` of the header, whose port
// is the first or the second one.
void MakeFlow(BpfAssembler& code, const Family& family, int remote, int local, bool remote_first) {
  for (int word = 0; word < static_cast<int>(kEgressFlowSize) / 4; ++word) {
    code.StoreNumber(BPF_W, BPF_REG_10, kFlow + word * 4, 0);
  }
  const auto copy = [&](int size, int to, int from) {
    code.Load(size, BPF_REG_1, BPF_REG_10, from);
    code.Store(size, BPF_REG_10, to, BPF_REG_1);
  };
  for (int word = 0; word < family.words; ++word) {
    copy(BPF_W, kFlow + word * 4, kNetwork + remote + word * 4);
    copy(BPF_W, kFlow + 16 + word * 4, kNetwork + local + word * 4);
  }
  copy(BPF_H, kFlow + 32, kTransport + (remote_first ? 0 : 2));
  copy(BPF_H, kFlow + 34, kTransport + (remote_first ? 2 : 0));
}

void PointAt(BpfAssembler& code, int reg, int offset) {
  code.Copy(reg, BPF_REG_10);
  code.Do(BPF_ADD, reg, offset);
}

// The part of a policy that concerns one family and one protocol.
class Section {
 public:
  Section(BpfAssembler& code, const Family& family, std::optional<uint8_t> protocol, bool has_ports)
      : code_(code), family_(family), protocol_(protocol), has_ports_(has_ports) {}

  void Judge(const egress::Policy& policy, Label denied, Label passed) {
    for (const egress::Rules& rules : policy) {
      const Label next = code_.NewLabel();
      for (const egress::Rule& rule : rules.allow) GoIf(rule, true, next);
      for (const egress::Rule& rule : rules.deny) GoIf(rule, false, denied);
      code_.Bind(next);
    }
    code_.Jump(passed);
  }

 private:
  bool Concerns(const egress::Rule& rule) const {
    if (rule.network && rule.network->address.family != family_.number) return false;
    if (!rule.protocol) return true;
    const bool icmp6 = *rule.protocol == IPPROTO_ICMP && family_.number == AF_INET6;
    return protocol_ == (icmp6 ? uint8_t{IPPROTO_ICMPV6} : *rule.protocol);
  }

  void GoIf(const egress::Rule& rule, bool allows, Label label) {
    // A later fragment has no port: see egress::Allows.
    if (!Concerns(rule) || (rule.ports && !has_ports_ && !allows)) return;
    const Label no = code_.NewLabel();
    for (int word = 0; rule.network && word < family_.words; ++word) {
      const uint32_t mask = MaskOf(rule.network->length, word);
      if (mask == 0) break;
      code_.Load(BPF_W, BPF_REG_1, BPF_REG_10, kNetwork + family_.destination + word * 4);
      if (mask != UINT32_MAX) code_.Do(BPF_AND, BPF_REG_1, static_cast<int32_t>(mask));
      code_.JumpIf(BPF_JNE, BPF_REG_1, WordOf(rule.network->address, word), no);
    }
    if (rule.ports && has_ports_) {
      code_.Load(BPF_H, BPF_REG_1, BPF_REG_10, kTransport + 2);
      code_.FromNetwork(BPF_REG_1, 16);
      code_.JumpIf(BPF_JLT, BPF_REG_1, rule.ports->low, no);
      code_.JumpIf(BPF_JGT, BPF_REG_1, rule.ports->high, no);
    }
    code_.Jump(label);
    code_.Bind(no);
  }

  BpfAssembler& code_;
  const Family& family_;
  const std::optional<uint8_t> protocol_;
  const bool has_ports_;
};

class Judge {
 public:
  Judge(const egress::Policy& policy, const EgressOptions& options, const EgressMaps& maps)
      : policy_(policy), options_(options), maps_(maps) {}

  Result<std::vector<bpf_insn>> Make() {
    const Label ipv4 = code_.NewLabel();
    const Label ipv6 = code_.NewLabel();
    packet_.ReadEthernet(ipv4, ipv6, passed_);
    code_.Bind(ipv4);
    JudgeFamily(kIpv4);
    code_.Bind(ipv6);
    JudgeFamily(kIpv6);
    code_.Bind(denied_);
    Count(kDeniedPackets);
    code_.Return(TC_ACT_SHOT);
    code_.Bind(passed_);
    code_.Return(TC_ACT_UNSPEC);
    return code_.Finish();
  }

 private:
  void JudgeFamily(const Family& family) {
    const bool v6 = family.number == AF_INET6;
    const Label later = code_.NewLabel();
    v6 ? packet_.ReadIpv6(later) : packet_.ReadIpv4(later);
    if (options_.stand_ins) ReplaceStandIn(code_, family, family.destination);
    const uint8_t icmp = v6 ? uint8_t{IPPROTO_ICMPV6} : uint8_t{IPPROTO_ICMP};
    const std::array<uint8_t, 4> protocols{IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, icmp};
    for (const uint8_t protocol : protocols) {
      const Label other = code_.NewLabel();
      code_.JumpIf(BPF_JNE, kNext, protocol, other);
      if (protocol != icmp) {
        JudgePorts(family, protocol);
      } else {
        if (v6) PassDiscovery();
        JudgeRest(family, protocol);
      }
      code_.Bind(other);
    }
    JudgeRest(family, std::nullopt);
    code_.Bind(later);
    if (options_.stand_ins) ReplaceStandIn(code_, family, family.destination);
    for (const uint8_t protocol : protocols) {
      const Label other = code_.NewLabel();
      code_.JumpIf(BPF_JNE, kNext, protocol, other);
      JudgeRest(family, protocol);
      code_.Bind(other);
    }
    JudgeRest(family, std::nullopt);
  }

  void JudgeRest(const Family& family, std::optional<uint8_t> protocol) {
    Section(code_, family, protocol, false).Judge(policy_, denied_, passed_);
  }

  void JudgePorts(const Family& family, uint8_t protocol) {
    const bool tcp = protocol == IPPROTO_TCP;
    packet_.Read(kTransport, tcp ? kTcpNeeded : 4);
    const Label refused = code_.NewLabel();
    Section(code_, family, protocol, true).Judge(policy_, tcp ? refused : denied_, passed_);
    code_.Bind(refused);
    if (!code_.reachable()) return;
    // To who has asked first, the guest may answer.
    MakeFlow(code_, family, family.destination, family.source, false);
    code_.Map(BPF_REG_1, maps_.flows);
    PointAt(code_, BPF_REG_2, kFlow);
    code_.Call(BPF_FUNC_map_lookup_elem);
    const Label unknown = code_.NewLabel();
    code_.JumpIfZero(BPF_REG_0, unknown);
    code_.Jump(passed_);
    code_.Bind(unknown);
    code_.Load(BPF_B, BPF_REG_1, BPF_REG_10, kTransport + kTcpFlagsAt);
    code_.Do(BPF_AND, BPF_REG_1, kSynAndAck);
    code_.JumpIf(BPF_JNE, BPF_REG_1, kOpening, denied_);
    Count(kDeniedConnections);
    code_.Jump(denied_);
  }

  // Without it a guest finds no neighbours. What is not from this link is none (RFC 4861, 3810).
  void PassDiscovery() {
    const Label listeners = code_.NewLabel();
    const Label no = code_.NewLabel();
    packet_.Read(kSmall, 1);
    code_.Load(BPF_B, BPF_REG_1, BPF_REG_10, kSmall);
    code_.Load(BPF_B, BPF_REG_2, BPF_REG_10, kNetwork + 7);  // hop limit
    for (const uint32_t type : {130U, 131U, 132U, 143U}) {
      code_.JumpIf(BPF_JEQ, BPF_REG_1, type, listeners);
    }
    code_.JumpIf(BPF_JLT, BPF_REG_1, 133, no);
    code_.JumpIf(BPF_JGT, BPF_REG_1, 136, no);
    code_.JumpIf(BPF_JEQ, BPF_REG_2, 255, passed_);
    code_.Jump(no);
    code_.Bind(listeners);
    code_.JumpIf(BPF_JNE, BPF_REG_2, 1, no);
    code_.Load(BPF_B, BPF_REG_1, BPF_REG_10, kNetwork + kIpv6.destination);
    code_.JumpIf(BPF_JEQ, BPF_REG_1, 0xff, passed_);
    code_.Bind(no);
  }

  void Count(uint32_t place) {
    const Label none = code_.NewLabel();
    code_.StoreNumber(BPF_W, BPF_REG_10, kSmall, static_cast<int32_t>(place));
    code_.Map(BPF_REG_1, maps_.counts);
    PointAt(code_, BPF_REG_2, kSmall);
    code_.Call(BPF_FUNC_map_lookup_elem);
    code_.JumpIfZero(BPF_REG_0, none);
    code_.Set(BPF_REG_1, 1);
    code_.AddAtomically(BPF_REG_0, BPF_REG_1);
    code_.Bind(none);
  }

  const egress::Policy& policy_;
  const EgressOptions& options_;
  const EgressMaps& maps_;
  BpfAssembler code_;
  const Label denied_ = code_.NewLabel();
  const Label passed_ = code_.NewLabel();
  Packet packet_{code_, denied_};
};

}  // namespace

Result<std::vector<bpf_insn>> JudgeEgress(const egress::Policy& policy,
                                          const EgressOptions& options, const EgressMaps& maps) {
  return Judge(policy, options, maps).Make();
}

Result<std::vector<bpf_insn>> NoteIngress(const EgressOptions& options, const EgressMaps& maps) {
  BpfAssembler code;
  const Label end = code.NewLabel();
  const Label ipv4 = code.NewLabel();
  const Label ipv6 = code.NewLabel();
  Packet packet(code, end);
  packet.ReadEthernet(ipv4, ipv6, end);
  for (const Family* family : {&kIpv4, &kIpv6}) {
    const bool v4 = family->number == AF_INET;
    code.Bind(v4 ? ipv4 : ipv6);
    v4 ? packet.ReadIpv4(end) : packet.ReadIpv6(end);
    code.JumpIf(BPF_JNE, kNext, IPPROTO_TCP, end);
    packet.Read(kTransport, kTcpNeeded);
    code.Load(BPF_B, BPF_REG_1, BPF_REG_10, kTransport + kTcpFlagsAt);
    code.Do(BPF_AND, BPF_REG_1, kSynAndAck);
    code.JumpIf(BPF_JNE, BPF_REG_1, kOpening, end);
    if (options.stand_ins) ReplaceStandIn(code, *family, family->source);
    MakeFlow(code, *family, family->source, family->destination, true);
    code.StoreNumber(BPF_B, BPF_REG_10, kSmall, 1);
    code.Map(BPF_REG_1, maps.flows);
    PointAt(code, BPF_REG_2, kFlow);
    PointAt(code, BPF_REG_3, kSmall);
    code.Set(BPF_REG_4, BPF_ANY);
    code.Call(BPF_FUNC_map_update_elem);
    code.Jump(end);
  }
  code.Bind(end);
  code.Return(TC_ACT_UNSPEC);
  return code.Finish();
}

}  // namespace kata::network
