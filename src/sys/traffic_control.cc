// SPDX-License-Identifier: Apache-2.0
#include "sys/traffic_control.h"

#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include <cstring>
#include <string>

#include <arpa/inet.h>

namespace kata::sys {
namespace {

constexpr uint16_t kNew = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
constexpr uint32_t kIngressHandle = TC_H_MAKE(TC_H_INGRESS, 0);
constexpr uint32_t kPriority = 1;

NetlinkRequest QdiscRequest(uint16_t type, uint16_t flags, int link) {
  tcmsg header{};
  header.tcm_ifindex = link;
  header.tcm_handle = kIngressHandle;
  header.tcm_parent = TC_H_INGRESS;
  NetlinkRequest request(type, flags);
  request.Header(header).PutText(TCA_KIND, "ingress");
  return request;
}

// One key that compares nothing: what matches all.
std::string MatchAll() {
  tc_u32_sel selector{};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = 1;
  const tc_u32_key key{};
  std::string bytes(reinterpret_cast<const char*>(&selector), sizeof selector);
  bytes.append(reinterpret_cast<const char*>(&key), sizeof key);
  return bytes;
}

}  // namespace

Result<void> AddIngressQdisc(NetlinkSocket& socket, int link) {
  return socket.Change(QdiscRequest(RTM_NEWQDISC, kNew, link));
}

Result<void> DeleteIngressQdisc(NetlinkSocket& socket, int link) {
  return socket.Change(QdiscRequest(RTM_DELQDISC, NLM_F_ACK, link));
}

Result<void> RedirectIngress(NetlinkSocket& socket, int from, int to) {
  tcmsg header{};
  header.tcm_ifindex = from;
  header.tcm_parent = kIngressHandle;
  header.tcm_info = TC_H_MAKE(kPriority << 16, htons(ETH_P_ALL));
  NetlinkRequest request(RTM_NEWTFILTER, kNew);
  request.Header(header).PutText(TCA_KIND, "u32");
  const size_t options = request.Begin(TCA_OPTIONS);
  request.Put(TCA_U32_SEL, MatchAll());
  const size_t actions = request.Begin(TCA_U32_ACT);
  const size_t first = request.Begin(1);
  request.PutText(TCA_ACT_KIND, "mirred");
  const size_t parameters = request.Begin(TCA_ACT_OPTIONS);
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = static_cast<uint32_t>(to);
  request.PutValue(TCA_MIRRED_PARMS, mirred);
  request.End(parameters);
  request.End(first);
  request.End(actions);
  request.End(options);
  return socket.Change(std::move(request));
}

}  // namespace kata::sys
