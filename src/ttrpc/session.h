// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/session.h - the two ends of a connection as state, without I/O, clocks or threads.
//
// Bytes go in, events and frames to send come out. A session is not synchronised; its owner is.
// What a peer can make it hold is bounded by Limits.
// Basis: containerd/ttrpc PROTOCOL.md, unary calls only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "ttrpc/envelope.h"
#include "ttrpc/frame.h"
#include "ttrpc/limits.h"

namespace kata::ttrpc {

// The response frame for a call. A payload that does not fit `max_payload` becomes a
// kResourceExhausted status, kOk in an error becomes kUnknown, and bytes of a message that are not
// UTF-8 become U+FFFD (other implementations refuse to parse them); very long messages are cut.
std::string EncodeResponse(uint32_t stream_id, const Result<std::string>& answer,
                           size_t max_payload = kMaxPayload);

// Identifies a call on the server for as long as the session lives: stream ids may come again after
// Reset(), serials do not.
struct CallKey {
  uint32_t stream_id = 0;
  uint64_t serial = 0;
};

// How a server's session treats a stream whose client can be exchanged without notice.
enum class StreamIds {
  kIncreasing,   // an id that is not larger than the last one is refused
  kMayStartOver  // such an id is a new client's; unfinished calls with that id are forgotten
};

class ServerSession {
 public:
  using Clock = Deadline::Clock;

  struct Call {
    CallKey key;
    std::string service;
    std::string method;
    std::string payload;
    Deadline deadline = Deadline::Never();
    Metadata metadata;
  };
  // A frame to send: the answer to something that is not a call.
  struct Refusal {
    std::string frame;
  };
  using Event = std::variant<Call, Refusal>;

  explicit ServerSession(const Limits& limits, StreamIds ids = StreamIds::kIncreasing)
      : limits_(limits), ids_(ids), decoder_(limits.max_payload) {}

  // The next event in `input`, from whose front the bytes used are taken; nullopt when all of it
  // was used. Each Call stays open until Finish(), Expire() or Reset().
  //
  // Refused on their own stream: frames above the bound and calls above Limits
  // (kResourceExhausted), even and repeated ids and requests that do not parse (kInvalidArgument),
  // requests that open a stream (kUnimplemented), data frames of no stream (kInvalidArgument).
  // Dropped: responses, unknown types, late data frames.
  std::optional<Event> Next(std::string_view& input, Clock::time_point now);

  // Ends an open call. True exactly once a call: then the caller sends the answer.
  bool Finish(CallKey key);
  bool open(CallKey key) const;
  // The call waits for an event: it and its payload count no longer for Limits::max_calls and
  // max_call_bytes. False where as many wait as may.
  bool Park(CallKey key);

  // Ends the calls whose deadline is at or before `now`; the caller answers them
  // kDeadlineExceeded.
  std::vector<CallKey> Expire(Clock::time_point now);
  std::optional<Clock::time_point> next_deadline() const;

  // The client has been replaced by another: forgets open calls, ids and an incomplete frame.
  void Reset();

  size_t open_calls() const { return calls_.size(); }
  // Bytes of incomplete frames and of open calls' payloads.
  size_t held_bytes() const { return decoder_.buffered() + call_bytes_; }

 private:
  struct OpenCall {
    uint64_t serial;
    Deadline deadline;
    size_t bytes;
    bool parked = false;
  };
  using Calls = std::map<uint32_t, OpenCall>;

  std::optional<Event> OnFrame(const Frame& frame, std::string_view& input, Clock::time_point now);
  std::optional<Event> OnRequest(const Frame& frame, Clock::time_point now);
  Event OpenCallOf(const FrameHeader& header, std::string_view body, Clock::time_point now);
  void Forget(Calls::iterator call);

  const Limits limits_;
  const StreamIds ids_;
  FrameDecoder decoder_;
  uint32_t last_id_ = 0;
  uint64_t next_serial_ = 1;
  Calls calls_;
  std::set<std::pair<Clock::time_point, uint32_t>> deadlines_;
  size_t parked_ = 0;
  size_t call_bytes_ = 0;
};

class ClientSession {
 public:
  using Clock = Deadline::Clock;

  struct Started {
    uint32_t stream_id;
    std::string frame;
  };
  struct Ended {
    uint32_t stream_id;
    Result<std::string> answer;
  };

  // `first_id` is made odd by rounding up.
  explicit ClientSession(const Limits& limits, uint32_t first_id = 1)
      : limits_(limits), decoder_(limits.max_response), next_id_(first_id | 1) {}

  // Opens a call; the frames must be sent in the order of the calls.
  // Errors  kResourceExhausted  the request does not fit a frame, too many calls are open, or all
  //                             stream ids are used up
  //         kDeadlineExceeded   the deadline has passed at `now`
  Result<Started> Start(std::string_view service, std::string_view method, std::string_view payload,
                        Deadline deadline, const Metadata& metadata, Clock::time_point now);

  // The next call that `input` ends; nullopt when all of it was used. Late answers and answers to
  // ids before the first are dropped; an oversized answer ends its call with kResourceExhausted.
  // Errors  kDataLoss  what came is no answer to anything that was asked: the connection cannot be
  //                    trusted any longer
  Result<std::optional<Ended>> Next(std::string_view& input);

  // Gives up an open call; false if it is not open.
  bool Forget(uint32_t stream_id);
  void ForgetAll();
  // Gives up the calls whose deadline is at or before `now`.
  std::vector<uint32_t> Expire(Clock::time_point now);
  std::optional<Clock::time_point> next_deadline() const;

  size_t open_calls() const { return calls_.size(); }
  // The stream of the next call.
  uint64_t next_id() const { return next_id_; }
  // Bytes of an incomplete frame.
  size_t held_bytes() const { return decoder_.buffered(); }

 private:
  Result<std::optional<Ended>> OnFrame(const Frame& frame);

  const Limits limits_;
  FrameDecoder decoder_;
  uint64_t next_id_;
  std::map<uint32_t, Deadline> calls_;
  std::set<std::pair<Clock::time_point, uint32_t>> deadlines_;
};

}  // namespace kata::ttrpc
