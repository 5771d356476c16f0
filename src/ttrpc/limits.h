// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/limits.h - how much a peer can make us hold.
#pragma once

#include <cstddef>

namespace kata::ttrpc {

// The protocol's bound on one frame's payload.
inline constexpr size_t kMaxPayload = 4 << 20;

struct Limits {
  size_t max_payload = kMaxPayload;
  // Calls of one connection that wait for an answer; a server answers more with
  // kResourceExhausted, a client refuses to make more.
  size_t max_calls = 4096;
  // Bytes of frames that wait to be written. While a server's queue is above this, it reads no more
  // requests from that connection; a client refuses new calls with kResourceExhausted.
  size_t max_queued_bytes = 16 << 20;
};

}  // namespace kata::ttrpc
