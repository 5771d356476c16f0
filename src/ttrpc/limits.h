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
  // The same for the answers that a client takes: parsing a hostile one can cost twenty times its
  // size, so a client of few words sets less. A larger answer fails its call and is not held.
  size_t max_response = kMaxPayload;
  // Calls of one connection that wait for an answer; a server answers more with
  // kResourceExhausted, a client refuses to make more.
  size_t max_calls = 4096;
  // Of those that a server has parked (Responder::Park), which do not count above: clients that
  // give up a call tell nobody, and one that waits for an event may wait for ever.
  size_t max_parked = 16384;
  // Bytes of the payloads of those calls on the server; a call beyond is answered
  // kResourceExhausted unless it is the only one.
  size_t max_call_bytes = 64 << 20;
  // Bytes of frames that wait to be written. While a server's queue is above this, it reads no more
  // requests from that connection, and above twice this it answers kResourceExhausted in place of
  // payloads; a client refuses new calls with kResourceExhausted.
  size_t max_queued_bytes = 16 << 20;
  // Connections that a server accepts at a time; more wait in the listener's backlog.
  size_t max_connections = 256;
};

}  // namespace kata::ttrpc
