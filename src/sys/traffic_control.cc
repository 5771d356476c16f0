// SPDX-License-Identifier: Apache-2.0
#include "sys/traffic_control.h"

#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include <string>
#include <utility>

#include <arpa/inet.h>

namespace kata::sys {
namespace {

constexpr uint32_t kIngressHandle = TC_H_MAKE(TC_H_INGRESS, 0);
// Programs come first, then what is shared, then what redirects all.
constexpr uint32_t kProgramPlace = 1;
constexpr uint32_t kFirstPlace = kProgramPlace + 1;
constexpr uint32_t kRedirectPlace = kMostShared + 1;

constexpr const char* kIngressKind = "ingress";
constexpr const char* kBothKind = "clsact";

NetlinkRequest QdiscRequest(uint16_t type, uint16_t flags, int link, const char* kind) {
  tcmsg header{};
  header.tcm_ifindex = link;
  header.tcm_handle = kIngressHandle;
  header.tcm_parent = TC_H_INGRESS;
  NetlinkRequest request(type, flags);
  request.Header(header).PutText(TCA_KIND, kind);
  return request;
}

// Filters of both kinds of hooks have these parents.
uint32_t ParentOf(Hook hook) {
  return TC_H_MAKE(TC_H_CLSACT, hook == Hook::kIngress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

std::string Selector(std::span<const PacketKey> keys) {
  tc_u32_sel selector{};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = static_cast<unsigned char>(keys.size());
  std::string bytes(reinterpret_cast<const char*>(&selector), sizeof selector);
  for (const PacketKey& each : keys) {
    tc_u32_key key{};
    key.mask = htonl(each.mask);
    key.val = htonl(each.value);
    key.off = each.offset;
    bytes.append(reinterpret_cast<const char*>(&key), sizeof key);
  }
  return bytes;
}

// A filter of what comes in on `from`, and what becomes of a packet that it matches.
Result<void> AddFilter(NetlinkSocket& socket, int from, uint32_t place, uint16_t protocol,
                       std::span<const PacketKey> keys, const tc_mirred& mirred) {
  tcmsg header{};
  header.tcm_ifindex = from;
  header.tcm_parent = ParentOf(Hook::kIngress);
  header.tcm_info = TC_H_MAKE((place + kFirstPlace) << 16, htons(protocol));
  NetlinkRequest request(RTM_NEWTFILTER, kCreateFlags);
  request.Header(header).PutText(TCA_KIND, "u32");
  const size_t options = request.Begin(TCA_OPTIONS);
  request.Put(TCA_U32_SEL, Selector(keys));
  const size_t actions = request.Begin(TCA_U32_ACT);
  const size_t first = request.Begin(1);
  request.PutText(TCA_ACT_KIND, "mirred");
  const size_t parameters = request.Begin(TCA_ACT_OPTIONS);
  request.PutValue(TCA_MIRRED_PARMS, mirred);
  request.End(parameters);
  request.End(first);
  request.End(actions);
  request.End(options);
  return socket.Change(std::move(request));
}

}  // namespace

Result<void> AddIngressQdisc(NetlinkSocket& socket, int link) {
  return socket.Change(QdiscRequest(RTM_NEWQDISC, kCreateFlags, link, kIngressKind));
}

Result<bool> EnsureHooks(NetlinkSocket& socket, int link) {
  auto made = socket.Change(QdiscRequest(RTM_NEWQDISC, kCreateFlags, link, kBothKind));
  if (!made && made.error().code() == Code::kAlreadyExists) return false;
  if (!made) return std::unexpected(std::move(made).error().Within("clsact qdisc"));
  return true;
}

Result<void> PutProgram(NetlinkSocket& socket, int link, Hook hook, int program,
                        std::string_view name) {
  tcmsg header{};
  header.tcm_ifindex = link;
  header.tcm_parent = ParentOf(hook);
  header.tcm_info = TC_H_MAKE(kProgramPlace << 16, htons(ETH_P_ALL));
  // With a number of its own it is replaced, in one step.
  header.tcm_handle = 1;
  NetlinkRequest request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
  request.Header(header).PutText(TCA_KIND, "bpf");
  const size_t options = request.Begin(TCA_OPTIONS);
  request.PutU32(TCA_BPF_FD, static_cast<uint32_t>(program));
  request.PutText(TCA_BPF_NAME, std::string(name));
  request.PutU32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  request.End(options);
  auto put = socket.Change(std::move(request));
  if (!put && put.error().code() == Code::kNotFound) {
    return Fail(
        Code::kUnimplemented,
        "this kernel has no filters that are programs (CONFIG_NET_CLS_BPF, module cls_bpf)");
  }
  return put;
}

Result<std::optional<uint32_t>> FindProgram(NetlinkSocket& socket, int link, Hook hook,
                                            std::string_view name) {
  tcmsg header{};
  header.tcm_ifindex = link;
  header.tcm_parent = ParentOf(hook);
  NetlinkRequest request(RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP);
  request.Header(header);
  std::optional<uint32_t> found;
  KATA_TRY(socket.Query(std::move(request), [&](const NetlinkMessage& message) {
    const auto attributes = Attributes::After<tcmsg>(message.body);
    if (attributes.Text(TCA_KIND) != "bpf") return;
    const Attributes options = attributes.Nested(TCA_OPTIONS);
    if (options.Text(TCA_BPF_NAME) == name) found = options.U32(TCA_BPF_ID);
  }));
  return found;
}

Result<bool> HasIngressQdisc(NetlinkSocket& socket, int link) {
  tcmsg header{};
  header.tcm_ifindex = link;
  NetlinkRequest request(RTM_GETQDISC, NLM_F_DUMP);
  request.Header(header);
  bool found = false;
  // Some kernels list those of every link.
  KATA_TRY(socket.Query(std::move(request), [&](const NetlinkMessage& message) {
    const auto qdisc = FamilyHeader<tcmsg>(message.body);
    found |= qdisc.tcm_ifindex == link && qdisc.tcm_parent == TC_H_INGRESS;
  }));
  return found;
}

Result<void> DeleteIngressQdisc(NetlinkSocket& socket, int link) {
  return socket.Change(QdiscRequest(RTM_DELQDISC, NLM_F_ACK, link, kIngressKind));
}

Result<void> DeleteHooks(NetlinkSocket& socket, int link) {
  return socket.Change(QdiscRequest(RTM_DELQDISC, NLM_F_ACK, link, kBothKind));
}

Result<void> RedirectIngress(NetlinkSocket& socket, int from, int to) {
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = static_cast<uint32_t>(to);
  // One key that compares nothing: what matches all.
  const PacketKey all;
  return AddFilter(socket, from, kRedirectPlace, ETH_P_ALL, {&all, 1}, mirred);
}

Result<void> ShareIngress(NetlinkSocket& socket, int from, int to, uint32_t place,
                          uint16_t protocol, std::span<const PacketKey> keys) {
  tc_mirred mirred{};
  mirred.action = TC_ACT_OK;
  mirred.eaction = TCA_EGRESS_MIRROR;
  mirred.ifindex = static_cast<uint32_t>(to);
  return AddFilter(socket, from, place, protocol, keys, mirred);
}

Result<void> RedirectSome(NetlinkSocket& socket, int from, int to, uint32_t place,
                          uint16_t protocol, std::span<const PacketKey> keys) {
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = static_cast<uint32_t>(to);
  return AddFilter(socket, from, place, protocol, keys, mirred);
}

}  // namespace kata::sys
