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
// Behind all that is shared.
constexpr uint32_t kRedirectPlace = kMostShared + 1;

NetlinkRequest QdiscRequest(uint16_t type, uint16_t flags, int link) {
  tcmsg header{};
  header.tcm_ifindex = link;
  header.tcm_handle = kIngressHandle;
  header.tcm_parent = TC_H_INGRESS;
  NetlinkRequest request(type, flags);
  request.Header(header).PutText(TCA_KIND, "ingress");
  return request;
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
  header.tcm_parent = kIngressHandle;
  header.tcm_info = TC_H_MAKE(place << 16, htons(protocol));
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
  return socket.Change(QdiscRequest(RTM_NEWQDISC, kCreateFlags, link));
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
  return socket.Change(QdiscRequest(RTM_DELQDISC, NLM_F_ACK, link));
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
