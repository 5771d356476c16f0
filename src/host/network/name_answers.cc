// SPDX-License-Identifier: Apache-2.0
#include "host/network/name_answers.h"

#include <linux/if_ether.h>

#include <cstdint>
#include <vector>

#include "sys/traffic_control.h"

namespace kata::network {
namespace {

struct Shared {
  uint32_t place;
  uint16_t protocol;
  std::vector<sys::PacketKey> keys;
};

const std::vector<Shared>& Table() {
  static const auto& table = *new std::vector<Shared>{
      // Replies of neighbours.
      {1, ETH_P_ARP, {{.offset = 4, .mask = 0x0000ffff, .value = 2}}},
      // Whole UDP datagrams from port 53, behind a header without options.
      {2,
       ETH_P_IP,
       {{.offset = 0, .mask = 0x0f000000, .value = 0x05000000},
        {.offset = 4, .mask = 0x00003fff, .value = 0},
        {.offset = 8, .mask = 0x00ff0000, .value = 0x00110000},
        {.offset = 20, .mask = 0xffff0000, .value = 0x00350000}}},
      {3,
       ETH_P_IPV6,
       {{.offset = 4, .mask = 0x0000ff00, .value = 0x00001100},
        {.offset = 40, .mask = 0xffff0000, .value = 0x00350000}}},
      // Neighbour advertisements.
      {3,
       ETH_P_IPV6,
       {{.offset = 4, .mask = 0x0000ff00, .value = 0x00003a00},
        {.offset = 40, .mask = 0xff000000, .value = 0x88000000}}},
  };
  return table;
}

}  // namespace

Result<void> ShareNameAnswers(sys::NetlinkSocket& socket, int link, int tap) {
  for (const Shared& each : Table()) {
    KATA_TRY_WITHIN("share answers of name servers",
                    sys::ShareIngress(socket, link, tap, each.place, each.protocol, each.keys));
  }
  return {};
}

}  // namespace kata::network
