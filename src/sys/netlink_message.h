// SPDX-License-Identifier: Apache-2.0
//
// sys/netlink_message.h - the bytes of netlink: messages and their attributes.
//
// No sockets: bytes in, views and bytes out. Whatever comes in, nothing outside of it is read.
// Basis: netlink(7), rtnetlink(7), kernel include/uapi/linux/netlink.h.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::sys {

// A view of one message; `body` begins with the family's header.
struct NetlinkMessage {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t sequence = 0;
  std::string_view body;
};

// Takes the next message off the front of `bytes`, one datagram; nothing at its end.
// Errors  kDataLoss  what is left is no whole message
Result<std::optional<NetlinkMessage>> TakeMessage(std::string_view* bytes);

// The fixed header at the front of `body`, zeroes where it is cut short.
template <class Header>
Header FamilyHeader(std::string_view body) {
  Header header{};
  body.copy(reinterpret_cast<char*>(&header), sizeof header);
  return header;
}

// The flags of a request that makes what must not be there yet, and wants an answer.
inline constexpr uint16_t kCreateFlags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;

// A view of a list of attributes. A broken one ends the list.
class Attributes {
 public:
  Attributes() = default;
  explicit Attributes(std::string_view bytes) : bytes_(bytes) {}
  // What follows `Header` in a message's body.
  template <class Header>
  static Attributes After(std::string_view body) {
    constexpr size_t kAligned = (sizeof(Header) + 3) & ~size_t{3};
    return Attributes(body.size() > kAligned ? body.substr(kAligned) : std::string_view());
  }

  // The payload of the first attribute of this type.
  std::optional<std::string_view> Find(uint16_t type) const;
  bool Has(uint16_t type) const { return Find(type).has_value(); }
  // Absent where the attribute is absent or has another size.
  std::optional<uint32_t> U32(uint16_t type) const;
  std::optional<uint16_t> U16(uint16_t type) const;
  std::optional<uint8_t> U8(uint16_t type) const;
  // Up to the first NUL; empty where absent.
  std::string Text(uint16_t type) const;
  Attributes Nested(uint16_t type) const {
    return Attributes(Find(type).value_or(std::string_view()));
  }

 private:
  std::string_view bytes_;
};

// A request under construction.
class NetlinkRequest {
 public:
  // NLM_F_REQUEST is added to `flags`.
  NetlinkRequest(uint16_t type, uint16_t flags);

  template <class Value>
  NetlinkRequest& Header(const Value& header) {
    Append({reinterpret_cast<const char*>(&header), sizeof header});
    return *this;
  }
  NetlinkRequest& Put(uint16_t type, std::string_view payload);
  template <class Value>
  NetlinkRequest& PutValue(uint16_t type, const Value& value) {
    return Put(type, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  NetlinkRequest& PutU32(uint16_t type, uint32_t value) { return PutValue(type, value); }
  // With the terminating NUL.
  NetlinkRequest& PutText(uint16_t type, const std::string& text) {
    return Put(type, {text.c_str(), text.size() + 1});
  }
  // Attributes put between the two calls are inside of an attribute of this type.
  size_t Begin(uint16_t type);
  // The same behind a header that is no attribute's, but begins with a length of 16 bits, too.
  template <class Value>
  size_t BeginWith(const Value& header) {
    const size_t begin = bytes_.size();
    Header(header);
    return begin;
  }
  void End(size_t begin);

  // The message. It may be asked for again, with another sequence number.
  const std::string& Finish(uint32_t sequence);

 private:
  void Append(std::string_view bytes);

  std::string bytes_;
};

}  // namespace kata::sys
