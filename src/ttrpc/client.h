// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/client.h - calling a server.
//
// One Client is one connection; any number of calls can be in flight, and answers may come in any
// order. The peer may be hostile: late answers are dropped, an answer that is too large or does not
// parse fails its call, and frames of unknown types or for streams that were never opened close the
// connection. Memory stays within Limits.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <google/protobuf/message_lite.h>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "ttrpc/envelope.h"
#include "ttrpc/limits.h"

namespace kata::ttrpc {

class Client {
 public:
  // Called exactly once, on the loop's thread: the response's payload, the error that the server
  // sent (its code kept), kDeadlineExceeded, kCancelled, or kUnavailable when the connection
  // closed.
  using Done = std::move_only_function<void(Result<std::string> payload)>;
  using CallId = uint64_t;

  // Speaks over `stream`, a connected socket or another byte stream that polls. From any thread;
  // the loop outlives the client.
  //
  // on_closed        called once, on the loop's thread, with the reason, after every call in flight
  //                  has been answered; not when the client is destroyed first
  // first_stream_id  over a link that an earlier client has used and that the server cannot see
  //                  closing (virtio-serial), a number above the ids of that client: answers meant
  //                  for it are then dropped instead of taken for ours
  static Result<std::unique_ptr<Client>> Create(sys::EventLoop& loop, sys::UniqueFd stream,
                                                Limits limits = {},
                                                std::function<void(Error)> on_closed = {},
                                                uint32_t first_stream_id = 1);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  // From any thread, while no other thread enters a member function; callers that are blocked in
  // Call() are freed. Calls in flight end with kCancelled: before this returns on the loop's
  // thread, later when on another, where on_closed may also be running at this moment.
  ~Client();

  // From any thread. The deadline also travels to the server. A call that cannot be made (too many
  // are in flight, the queue is full, the request is above the bound: kResourceExhausted) ends in
  // the same way as any other, on the loop's thread after this has returned.
  CallId CallAsync(std::string_view service, std::string_view method, std::string payload,
                   Deadline deadline, Done done, Metadata metadata = {});
  // From any thread: the call ends with kCancelled unless it has ended; the server's late answer is
  // dropped.
  void Cancel(CallId id);

  // Blocks until the answer is there, never longer than the deadline. On the loop's thread it would
  // never end, and fails with kInternal.
  Result<std::string> Call(std::string_view service, std::string_view method, std::string payload,
                           Deadline deadline, Metadata metadata = {});

  // Blocking call with messages. A response that does not parse is kInternal.
  template <class Response>
  Result<Response> Call(std::string_view service, std::string_view method,
                        const google::protobuf::MessageLite& request, Deadline deadline,
                        Metadata metadata = {}) {
    return Parse<Response>(
        Call(service, method, request.SerializeAsString(), deadline, std::move(metadata)), method);
  }

  // Hears how long each of the two blocking calls above took, on the caller's thread. Before the
  // first call.
  using Observer = std::function<void(std::string_view method, std::chrono::nanoseconds took)>;
  void Observe(Observer observer);

  // Asynchronous call with messages.
  template <class Response>
  CallId CallAsync(std::string_view service, std::string_view method,
                   const google::protobuf::MessageLite& request, Deadline deadline,
                   std::move_only_function<void(Result<Response>)> done, Metadata metadata = {}) {
    return CallAsync(
        service, method, request.SerializeAsString(), deadline,
        [done = std::move(done),
         method = std::string(method)](Result<std::string> payload) mutable {
          done(Parse<Response>(std::move(payload), method));
        },
        std::move(metadata));
  }

  // From any thread: closes the connection; everything in flight ends with `reason`.
  void Close(Error reason);

  // From any thread.
  size_t calls_in_flight() const;
  // No call so far has had this stream or one above it. From any thread.
  uint64_t next_stream_id() const;

 private:
  template <class Response>
  static Result<Response> Parse(Result<std::string> payload, std::string_view method) {
    if (!payload) return std::unexpected(std::move(payload).error());
    Response response;
    if (!response.ParseFromString(*payload)) {
      return Fail(Code::kInternal, std::string(method) + ": the response does not parse");
    }
    return response;
  }

  struct State;
  explicit Client(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace kata::ttrpc
