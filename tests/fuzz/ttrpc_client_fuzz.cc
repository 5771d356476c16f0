// SPDX-License-Identifier: Apache-2.0
//
// A client's session under any server (a hostile guest): calls end once, only open calls end,
// memory is bounded, and the same happens however the bytes arrive.
#include <set>
#include <string>
#include <string_view>

#include "fuzz_support.h"
#include "ttrpc/session.h"

namespace {

using kata::Deadline;
using kata::fuzz::Check;
using namespace kata::ttrpc;

const Limits kLimits = {.max_response = 300, .max_calls = 8};
const Deadline::Clock::time_point kNow{std::chrono::hours(1000)};

std::string Call(std::string_view bytes, size_t piece, uint32_t first_id, uint8_t cancelled) {
  ClientSession session(kLimits, first_id);
  std::set<uint32_t> open;
  for (int i = 0; i < 8; ++i) {
    const auto started = session.Start("svc", "Do", "payload",
                                       Deadline::At(kNow + kNow.time_since_epoch()), {}, kNow);
    Check(started.has_value());
    open.insert(started->stream_id);
    if (cancelled >> i & 1) {
      Check(session.Forget(started->stream_id));
      open.erase(started->stream_id);
    }
  }
  std::string events;
  while (!bytes.empty()) {
    std::string_view input = bytes.substr(0, piece);
    bytes.remove_prefix(input.size());
    for (;;) {
      const auto ended = session.Next(input);
      if (!ended) return events + "broken: " + ended.error().message();
      if (!*ended) break;
      Check(open.erase((*ended)->stream_id) == 1);
      const auto& answer = (*ended)->answer;
      if (!answer) Check(answer.error().code() != kata::Code::kOk);
      events += std::to_string((*ended)->stream_id) + (answer ? *answer : answer.error().message());
    }
    Check(input.empty());
    Check(session.held_bytes() <= kLimits.max_response + kHeaderSize);
    Check(session.open_calls() == open.size());
  }
  Check(session.Expire(Deadline::Clock::time_point::max()).size() == open.size());
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kata::fuzz::Bytes bytes(data, size);
  const size_t piece = bytes.TakeByte() + 1u;
  const uint8_t cancelled = bytes.TakeByte();
  const uint32_t first_id = bytes.TakeByte();
  const std::string_view stream = bytes.Rest();
  Check(Call(stream, piece, first_id, cancelled) ==
        Call(stream, stream.size() + 1, first_id, cancelled));
  return 0;
}
