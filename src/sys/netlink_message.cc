// SPDX-License-Identifier: Apache-2.0
#include "sys/netlink_message.h"

#include <linux/netlink.h>

#include <algorithm>
#include <cstring>

namespace kata::sys {
namespace {

constexpr size_t Aligned(size_t size) { return (size + 3) & ~size_t{3}; }

template <class Value>
std::optional<Value> ValueOf(std::optional<std::string_view> payload) {
  if (!payload || payload->size() != sizeof(Value)) return std::nullopt;
  Value value;
  std::memcpy(&value, payload->data(), sizeof value);
  return value;
}

}  // namespace

Result<std::optional<NetlinkMessage>> TakeMessage(std::string_view* bytes) {
  if (bytes->empty()) return std::optional<NetlinkMessage>();
  if (bytes->size() < sizeof(nlmsghdr)) {
    return Fail(Code::kDataLoss, "netlink: a message without a whole header");
  }
  const auto header = FamilyHeader<nlmsghdr>(*bytes);
  if (header.nlmsg_len < sizeof(nlmsghdr) || header.nlmsg_len > bytes->size()) {
    return Fail(Code::kDataLoss, "netlink: a message that is cut short");
  }
  NetlinkMessage message{
      .type = header.nlmsg_type,
      .flags = header.nlmsg_flags,
      .sequence = header.nlmsg_seq,
      .body = bytes->substr(sizeof(nlmsghdr), header.nlmsg_len - sizeof(nlmsghdr))};
  bytes->remove_prefix(std::min(Aligned(header.nlmsg_len), bytes->size()));
  return message;
}

std::optional<std::string_view> Attributes::Find(uint16_t type) const {
  std::string_view rest = bytes_;
  while (rest.size() >= sizeof(nlattr)) {
    const auto header = FamilyHeader<nlattr>(rest);
    if (header.nla_len < sizeof(nlattr) || header.nla_len > rest.size()) break;
    if ((header.nla_type & NLA_TYPE_MASK) == type) {
      return rest.substr(sizeof(nlattr), header.nla_len - sizeof(nlattr));
    }
    rest.remove_prefix(std::min(Aligned(header.nla_len), rest.size()));
  }
  return std::nullopt;
}

std::optional<uint32_t> Attributes::U32(uint16_t type) const {
  return ValueOf<uint32_t>(Find(type));
}

std::optional<uint16_t> Attributes::U16(uint16_t type) const {
  return ValueOf<uint16_t>(Find(type));
}

std::optional<uint8_t> Attributes::U8(uint16_t type) const { return ValueOf<uint8_t>(Find(type)); }

std::string Attributes::Text(uint16_t type) const {
  const std::string_view text = Find(type).value_or(std::string_view());
  return std::string(text.substr(0, text.find('\0')));
}

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags | NLM_F_REQUEST;
  Append({reinterpret_cast<const char*>(&header), sizeof header});
}

void NetlinkRequest::Append(std::string_view bytes) {
  bytes_.append(bytes);
  bytes_.append(Aligned(bytes_.size()) - bytes_.size(), '\0');
}

NetlinkRequest& NetlinkRequest::Put(uint16_t type, std::string_view payload) {
  nlattr header{};
  header.nla_len = static_cast<uint16_t>(sizeof header + payload.size());
  header.nla_type = type;
  Append({reinterpret_cast<const char*>(&header), sizeof header});
  Append(payload);
  return *this;
}

size_t NetlinkRequest::Begin(uint16_t type) {
  const size_t begin = bytes_.size();
  Put(type | NLA_F_NESTED, {});
  return begin;
}

void NetlinkRequest::End(size_t begin) {
  const auto length = static_cast<uint16_t>(bytes_.size() - begin);
  std::memcpy(bytes_.data() + begin, &length, sizeof length);
}

const std::string& NetlinkRequest::Finish(uint32_t sequence) {
  auto header = FamilyHeader<nlmsghdr>(bytes_);
  header.nlmsg_len = static_cast<uint32_t>(bytes_.size());
  header.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &header, sizeof header);
  return bytes_;
}

}  // namespace kata::sys
