// SPDX-License-Identifier: Apache-2.0
#include "host/network/connection_request.h"

#include <linux/if_ether.h>

#include <cstddef>

#include <netinet/in.h>

#include "host/network/packet_bytes.h"

namespace kata::network {
namespace {

constexpr size_t kEthernet = 14;
constexpr size_t kMacs = 12;
constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv6Header = 40;
constexpr size_t kTcpHeader = 20;
constexpr size_t kFlagsAt = 13;
constexpr uint8_t kFin = 0x01;
constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kRst = 0x04;
constexpr uint8_t kAck = 0x10;
constexpr uint8_t kHops = 64;

void PutWord(std::string* bytes, uint32_t value) {
  bytes->push_back(static_cast<char>(value >> 8));
  bytes->push_back(static_cast<char>(value));
}
void PutLong(std::string* bytes, uint32_t value) {
  PutWord(bytes, value >> 16);
  PutWord(bytes, value & 0xffff);
}
std::string IpHeader(const ConnectionRequest& request) {
  std::string header;
  if (request.from.address.family == AF_INET6) {
    PutLong(&header, 0x60000000);
    PutWord(&header, kTcpHeader);
    header.push_back(static_cast<char>(IPPROTO_TCP));
    header.push_back(static_cast<char>(kHops));
    header += request.to.address.Bytes();
    header += request.from.address.Bytes();
    return header;
  }
  PutWord(&header, 0x4500);
  PutWord(&header, kIpv4Header + kTcpHeader);
  PutLong(&header, 0x4000);  // may not be cut
  header.push_back(static_cast<char>(kHops));
  header.push_back(static_cast<char>(IPPROTO_TCP));
  PutWord(&header, 0);
  header += request.to.address.Bytes();
  header += request.from.address.Bytes();
  SetWord(&header, 10, ChecksumOf(AddUp(header)));
  return header;
}

}  // namespace

std::optional<ConnectionRequest> ParseConnectionRequest(std::string_view frame) {
  if (frame.size() < kEthernet) return std::nullopt;
  const uint16_t type = WordAt(frame, kMacs);
  const std::string_view ip = frame.substr(kEthernet);
  ConnectionRequest request;
  size_t header = 0;
  if (type == ETH_P_IP) {
    header = kIpv4Header;
    if (ip.size() < header || ByteAt(ip, 0) != 0x45 || ByteAt(ip, 9) != IPPROTO_TCP ||
        (WordAt(ip, 6) & 0x3fff) != 0) {
      return std::nullopt;
    }
    request.from.address = *sys::IpAddress::FromBytes(ip.substr(12, 4));
    request.to.address = *sys::IpAddress::FromBytes(ip.substr(16, 4));
  } else if (type == ETH_P_IPV6) {
    header = kIpv6Header;
    if (ip.size() < header || ByteAt(ip, 0) >> 4 != 6 || ByteAt(ip, 6) != IPPROTO_TCP) {
      return std::nullopt;
    }
    request.from.address = *sys::IpAddress::FromBytes(ip.substr(8, 16));
    request.to.address = *sys::IpAddress::FromBytes(ip.substr(24, 16));
  } else {
    return std::nullopt;
  }
  const std::string_view tcp = ip.substr(header);
  if (tcp.size() < kTcpHeader) return std::nullopt;
  if ((ByteAt(tcp, kFlagsAt) & (kFin | kSyn | kRst | kAck)) != kSyn) return std::nullopt;
  request.from.port = WordAt(tcp, 0);
  request.to.port = WordAt(tcp, 2);
  request.sequence = LongAt(tcp, 4);
  return request;
}

std::string RefusalOf(std::string_view frame, const ConnectionRequest& request) {
  const std::string ip = IpHeader(request);
  std::string tcp;
  PutWord(&tcp, request.to.port);
  PutWord(&tcp, request.from.port);
  PutLong(&tcp, 0);
  PutLong(&tcp, request.sequence + 1);
  PutWord(&tcp, 0x5000U | kRst | kAck);
  PutLong(&tcp, 0);  // window and checksum
  PutWord(&tcp, 0);
  const uint32_t pseudo = AddUp(request.to.address.Bytes(), AddUp(request.from.address.Bytes())) +
                          IPPROTO_TCP + kTcpHeader;
  SetWord(&tcp, 16, ChecksumOf(AddUp(tcp, pseudo)));
  return std::string(frame.substr(6, 6)) + std::string(frame.substr(0, 6)) +
         std::string(frame.substr(kMacs, 2)) + ip + tcp;
}

}  // namespace kata::network
