// SPDX-License-Identifier: Apache-2.0
//
// A datagram of rtnetlink: messages come off its front until it is empty or broken, and no view
// leads outside of it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fuzz_support.h"
#include "sys/netlink_message.h"
#include "sys/routing_rule.h"
#include "sys/rtnetlink.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kata::fuzz::Check;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  std::string_view rest = all;
  for (;;) {
    const size_t before = rest.size();
    const auto message = kata::sys::TakeMessage(&rest);
    if (!message || !*message) return 0;
    Check(rest.size() < before);
    const std::string_view body = (*message)->body;
    Check(body.data() >= all.data() && body.data() + body.size() <= all.data() + all.size());
    (void)kata::sys::ParseLink(**message);
    (void)kata::sys::ParseAddress(**message);
    (void)kata::sys::ParseRoute(**message);
    (void)kata::sys::ParseNeighbor(**message);
    (void)kata::sys::ParseRule(**message);
    for (uint16_t type = 0; type < 64; ++type) {
      const auto payload = kata::sys::Attributes(body).Find(type);
      Check(!payload || (payload->data() >= body.data() &&
                         payload->data() + payload->size() <= body.data() + body.size()));
    }
  }
}
