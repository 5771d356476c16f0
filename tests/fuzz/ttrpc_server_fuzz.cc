// SPDX-License-Identifier: Apache-2.0
//
// A server's session under any client: bounded memory, well-formed refusals, each call finished
// once, and the same events however the bytes arrive.
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fuzz_support.h"
#include "ttrpc/session.h"

namespace {

using kata::Deadline;
using kata::fuzz::Check;
using namespace kata::ttrpc;

const Limits kLimits = {.max_payload = 300, .max_calls = 4, .max_call_bytes = 600};
const Deadline::Clock::time_point kNow{std::chrono::hours(1000)};

std::string_view Body(std::string_view frame) {
  Check(frame.size() >= kHeaderSize);
  return frame.substr(kHeaderSize);
}

std::string OnCall(const ServerSession::Call& call) {
  const auto timeout =
      call.deadline.never() ? std::chrono::nanoseconds(0) : call.deadline.when() - kNow;
  const std::string frame = EncodeRequest(call.key.stream_id, call.service, call.method,
                                          call.payload, timeout, call.metadata);
  const auto again = ParseRequest(Body(frame));
  Check(again.has_value());
  Check(again->service == call.service && again->method == call.method);
  Check(again->payload == call.payload && again->metadata == call.metadata);
  return frame;
}

std::string OnRefusal(const ServerSession::Refusal& refusal) {
  FrameDecoder decoder(kMaxPayload);
  std::string_view input = refusal.frame;
  const auto frame = decoder.Next(input);
  Check(frame && input.empty() && frame->header.type == kResponse);
  Check(!ParseResponse(frame->payload).has_value());
  return refusal.frame;
}

// Everything that the session says about `bytes` given in pieces. `finish` chooses calls to end.
std::string Serve(std::string_view bytes, size_t piece, uint8_t finish, StreamIds ids) {
  ServerSession session(kLimits, ids);
  std::string events;
  while (!bytes.empty()) {
    std::string_view input = bytes.substr(0, piece);
    bytes.remove_prefix(input.size());
    while (auto event = session.Next(input, kNow)) {
      if (auto* refusal = std::get_if<ServerSession::Refusal>(&*event)) {
        events += OnRefusal(*refusal);
        continue;
      }
      const auto& call = std::get<ServerSession::Call>(*event);
      events += OnCall(call);
      Check(session.open(call.key));
      if (finish >> (call.key.serial % 8) & 1) {
        Check(session.Finish(call.key));
        Check(!session.Finish(call.key));
      }
      Check(session.open_calls() <= kLimits.max_calls);
    }
    Check(input.empty());
    Check(session.held_bytes() <=
          kLimits.max_call_bytes + kLimits.max_payload + kLimits.max_payload + kHeaderSize);
  }
  const size_t open = session.open_calls();
  Check(session.Expire(Deadline::Clock::time_point::max()).size() <= open);
  Check(!session.next_deadline());
  session.Reset();
  Check(session.held_bytes() == 0 && session.open_calls() == 0);
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kata::fuzz::Bytes bytes(data, size);
  const size_t piece = bytes.TakeByte() + 1u;
  const uint8_t finish = bytes.TakeByte();
  const std::string_view stream = bytes.Rest();
  const std::string whole = Serve(stream, stream.size() + 1, finish, StreamIds::kIncreasing);
  Check(Serve(stream, piece, finish, StreamIds::kIncreasing) == whole);
  // Where garbage makes the session drop what is at hand, pieces may differ from the whole.
  Serve(stream, piece, finish, StreamIds::kMayStartOver);
  return 0;
}
