// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/session.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "ttrpc/envelope.h"

namespace kata::ttrpc {
namespace {

using Clock = Deadline::Clock;

ServerSession::Refusal Refuse(uint32_t stream_id, Code code, std::string message) {
  return {EncodeStatus(stream_id, Error(code, std::move(message)))};
}

template <class Deadlines, class Take>
void TakeExpired(Deadlines& deadlines, Clock::time_point now, Take take) {
  while (!deadlines.empty() && deadlines.begin()->first <= now) take(deadlines.begin()->second);
}

template <class Deadlines>
std::optional<Clock::time_point> Earliest(const Deadlines& deadlines) {
  if (deadlines.empty()) return std::nullopt;
  return deadlines.begin()->first;
}

}  // namespace

std::string EncodeResponse(uint32_t stream_id, const Result<std::string>& answer,
                           size_t max_payload) {
  if (!answer) return EncodeStatus(stream_id, answer.error());
  std::string frame = EncodeReply(stream_id, *answer);
  const size_t size = frame.size() - kHeaderSize;
  if (size <= max_payload) return frame;
  return EncodeStatus(
      stream_id,
      Error(Code::kResourceExhausted,
            fmt::format("the response of {} bytes is above the bound of {}", size, max_payload)));
}

std::optional<ServerSession::Event> ServerSession::Next(std::string_view& input,
                                                        Clock::time_point now) {
  while (const std::optional<Frame> frame = decoder_.Next(input)) {
    if (auto event = OnFrame(*frame, input, now)) return event;
  }
  return std::nullopt;
}

std::optional<ServerSession::Event> ServerSession::OnFrame(const Frame& frame,
                                                           std::string_view& input,
                                                           Clock::time_point now) {
  const FrameHeader& header = frame.header;
  switch (header.type) {
    case kRequest:
      return OnRequest(frame, now);
    case kData:
      // Late data of a stream that was refused, or data for a unary call, is nobody's.
      if (header.stream_id % 2 == 1 && header.stream_id <= last_id_) return std::nullopt;
      return Refuse(header.stream_id, Code::kInvalidArgument, "data for a stream that is not open");
    case kResponse:
      return std::nullopt;
    default:
      if (ids_ == StreamIds::kMayStartOver) {
        // The tail of an earlier client's frame: dropping what is at hand is the only way back to
        // the start of a frame on a link that cannot be closed.
        input = {};
        decoder_.Reset();
      }
      return std::nullopt;
  }
}

std::optional<ServerSession::Event> ServerSession::OnRequest(const Frame& frame,
                                                             Clock::time_point now) {
  const FrameHeader& header = frame.header;
  const uint32_t id = header.stream_id;
  if (id % 2 == 0) {
    return Refuse(id, Code::kInvalidArgument, "the stream id of a client is odd");
  }
  if (id <= last_id_ && ids_ == StreamIds::kIncreasing) {
    return Refuse(id, Code::kInvalidArgument,
                  "a stream id is used once and is larger than those before");
  }
  if (const auto old = calls_.find(id); old != calls_.end()) Forget(old);
  last_id_ = id;
  if (frame.oversized) {
    return Refuse(id, Code::kResourceExhausted,
                  fmt::format("the request of {} bytes is above the bound of {}", header.length,
                              limits_.max_payload));
  }
  if (header.flags & kFlagRemoteOpen) {
    return Refuse(id, Code::kUnimplemented, "streaming is not supported");
  }
  if (calls_.size() - parked_ >= limits_.max_calls) {
    return Refuse(id, Code::kResourceExhausted, "too many calls are open");
  }
  if (call_bytes_ + frame.payload.size() > limits_.max_call_bytes && !calls_.empty()) {
    return Refuse(id, Code::kResourceExhausted, "the open calls are too large");
  }
  return OpenCallOf(header, frame.payload, now);
}

ServerSession::Event ServerSession::OpenCallOf(const FrameHeader& header, std::string_view body,
                                               Clock::time_point now) {
  std::optional<RequestBody> request = ParseRequest(body);
  if (!request) {
    return Refuse(header.stream_id, Code::kInvalidArgument,
                  "the request's envelope does not parse");
  }
  Call call;
  call.key = {.stream_id = header.stream_id, .serial = next_serial_++};
  call.service = std::move(request->service);
  call.method = std::move(request->method);
  call.payload = std::move(request->payload);
  call.metadata = std::move(request->metadata);
  if (request->timeout != std::chrono::nanoseconds::zero()) {
    const Clock::duration left = std::min<Clock::duration>(
        request->timeout, Clock::time_point::max() - now - std::chrono::nanoseconds(1));
    call.deadline = Deadline::At(now + left);
    deadlines_.emplace(call.deadline.when(), header.stream_id);
  }
  calls_.emplace(
      header.stream_id,
      OpenCall{.serial = call.key.serial, .deadline = call.deadline, .bytes = body.size()});
  call_bytes_ += body.size();
  return call;
}

void ServerSession::Forget(Calls::iterator call) {
  if (!call->second.deadline.never()) {
    deadlines_.erase({call->second.deadline.when(), call->first});
  }
  call_bytes_ -= call->second.bytes;
  if (call->second.parked) --parked_;
  calls_.erase(call);
}

bool ServerSession::open(CallKey key) const {
  const auto call = calls_.find(key.stream_id);
  return call != calls_.end() && call->second.serial == key.serial;
}

bool ServerSession::Park(CallKey key) {
  if (!open(key)) return true;
  OpenCall& call = calls_.find(key.stream_id)->second;
  if (call.parked) return true;
  if (parked_ >= limits_.max_parked) return false;
  call.parked = true;
  ++parked_;
  call_bytes_ -= std::exchange(call.bytes, 0);
  return true;
}

bool ServerSession::Finish(CallKey key) {
  if (!open(key)) return false;
  Forget(calls_.find(key.stream_id));
  return true;
}

std::vector<CallKey> ServerSession::Expire(Clock::time_point now) {
  std::vector<CallKey> expired;
  TakeExpired(deadlines_, now, [&](uint32_t id) {
    const auto call = calls_.find(id);
    expired.push_back({.stream_id = id, .serial = call->second.serial});
    Forget(call);
  });
  return expired;
}

std::optional<Clock::time_point> ServerSession::next_deadline() const {
  return Earliest(deadlines_);
}

void ServerSession::Reset() {
  decoder_.Reset();
  last_id_ = 0;
  calls_.clear();
  deadlines_.clear();
  parked_ = 0;
  call_bytes_ = 0;
}

Result<ClientSession::Started> ClientSession::Start(std::string_view service,
                                                    std::string_view method,
                                                    std::string_view payload, Deadline deadline,
                                                    const Metadata& metadata,
                                                    Clock::time_point now) {
  if (calls_.size() >= limits_.max_calls) {
    return Fail(Code::kResourceExhausted, "too many calls are open");
  }
  if (next_id_ > std::numeric_limits<uint32_t>::max()) {
    return Fail(Code::kResourceExhausted, "the connection has used all its stream ids");
  }
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::zero();
  if (!deadline.never()) {
    timeout = deadline.when() - now;
    if (timeout <= timeout.zero()) {
      return Fail(Code::kDeadlineExceeded, "the deadline had passed before the call");
    }
  }
  const uint32_t id = static_cast<uint32_t>(next_id_);
  std::string frame = EncodeRequest(id, service, method, payload, timeout, metadata);
  if (const size_t size = frame.size() - kHeaderSize; size > limits_.max_payload) {
    return Fail(
        Code::kResourceExhausted,
        fmt::format("the request of {} bytes is above the bound of {}", size, limits_.max_payload));
  }
  next_id_ += 2;
  calls_.emplace(id, deadline);
  if (!deadline.never()) deadlines_.emplace(deadline.when(), id);
  return Started{.stream_id = id, .frame = std::move(frame)};
}

Result<std::optional<ClientSession::Ended>> ClientSession::Next(std::string_view& input) {
  while (const std::optional<Frame> frame = decoder_.Next(input)) {
    std::optional<Ended> ended = KATA_TRY(OnFrame(*frame));
    if (ended) return ended;
  }
  return std::nullopt;
}

Result<std::optional<ClientSession::Ended>> ClientSession::OnFrame(const Frame& frame) {
  const FrameHeader& header = frame.header;
  const uint32_t id = header.stream_id;
  if (header.type != kResponse && header.type != kData) {
    return Fail(Code::kDataLoss, fmt::format("the peer sent a frame of type {}", header.type));
  }
  if (id % 2 == 0 || id >= next_id_) {
    return Fail(Code::kDataLoss, fmt::format("the peer answered stream {}, which is not ours", id));
  }
  if (!Forget(id)) return std::nullopt;
  if (frame.oversized) {
    return Ended{id, Fail(Code::kResourceExhausted,
                          fmt::format("the response of {} bytes is above the bound of {}",
                                      header.length, limits_.max_response))};
  }
  if (header.type == kData) {
    return Ended{id, Fail(Code::kUnimplemented, "the server answered with a stream")};
  }
  return Ended{id, ParseResponse(frame.payload)};
}

bool ClientSession::Forget(uint32_t stream_id) {
  const auto call = calls_.find(stream_id);
  if (call == calls_.end()) return false;
  if (!call->second.never()) deadlines_.erase({call->second.when(), stream_id});
  calls_.erase(call);
  return true;
}

void ClientSession::ForgetAll() {
  calls_.clear();
  deadlines_.clear();
  decoder_.Reset();
}

std::vector<uint32_t> ClientSession::Expire(Clock::time_point now) {
  std::vector<uint32_t> expired;
  TakeExpired(deadlines_, now, [&](uint32_t id) {
    expired.push_back(id);
    Forget(id);
  });
  return expired;
}

std::optional<Clock::time_point> ClientSession::next_deadline() const {
  return Earliest(deadlines_);
}

}  // namespace kata::ttrpc
