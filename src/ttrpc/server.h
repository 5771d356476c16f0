// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/server.h - answering calls.
//
// A Server is a table from (service, method) to handler. It serves any number of connections on one
// event loop; handlers are called on the loop's thread and must not block: a slow handler keeps its
// Responder, does the work elsewhere and answers from any thread, in any order.
// Basis: containerd/ttrpc protocol, unary calls (no streaming).
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
#include "ttrpc/connection.h"
#include "ttrpc/envelope.h"
#include "ttrpc/limits.h"

namespace kata::ttrpc {

// What came with a call beside its payload.
struct CallContext {
  // From the request's timeout_nano; Never() without one. The server itself answers
  // kDeadlineExceeded when it passes; a handler may look at it to stop early.
  Deadline deadline = Deadline::Never();
  Metadata metadata;
};

// The duty to answer one call, exactly once, from any thread. Answers after the first, after the
// deadline, or on a closed connection are dropped. Destroyed without an answer, it answers
// kInternal. May outlive the connection and the server.
class Responder {
 public:
  // Makes the answer travel to the connection; called at most once.
  using Send = std::move_only_function<void(Result<std::string>)>;
  using Wanted = std::function<bool()>;
  // What Park() returns.
  using Parks = std::function<bool()>;

  explicit Responder(Send send, Wanted wanted = {}, Parks parks = {})
      : send_(std::move(send)), wanted_(std::move(wanted)), parks_(std::move(parks)) {}
  Responder(Responder&& other) noexcept
      : send_(std::exchange(other.send_, {})),
        wanted_(std::exchange(other.wanted_, {})),
        parks_(std::exchange(other.parks_, {})) {}
  Responder& operator=(Responder&& other) noexcept;
  ~Responder();

  void Reply(const google::protobuf::MessageLite& response);
  // A response message without fields.
  void ReplyEmpty();
  // A response message that is serialised already.
  void ReplyBytes(std::string response);
  void Fail(Error error);
  bool answered() const { return !send_; }

  // False once nobody waits for the answer: it was given, its deadline passed, or the connection
  // has gone. Who parks a Responder for a later event asks before the event is spent on it.
  bool wanted() const { return send_ && (!wanted_ || wanted_()); }

  // Once, for a call that waits for an event and not for work: it does not count any longer among
  // the connection's open calls, however many such there are. False where there are too many of
  // these (Limits::max_parked); then it is to be refused.
  [[nodiscard]] bool Park();

 private:
  void Answer(Result<std::string> answer);

  Send send_;
  Wanted wanted_;
  Parks parks_;
};

class Server {
 public:
  using Handler =
      std::function<void(CallContext context, std::string_view payload, Responder responder)>;

  // The loop outlives the server.
  explicit Server(sys::EventLoop& loop, Limits limits = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // On the loop's thread, also from inside a handler, or when the loop does not run. Closes all
  // connections; their on_closed runs before it returns.
  ~Server();

  // `payload` is valid during the call only. Unknown services and methods are answered with
  // kUnimplemented. Register before serving.
  void Handle(std::string service, std::string method, Handler handler);

  // The same with the request parsed; a payload that does not parse is answered kInvalidArgument.
  template <class Request>
  void Handle(std::string service, std::string method,
              std::function<void(CallContext, Request, Responder)> handler) {
    Handle(std::move(service), std::move(method),
           Handler([handler = std::move(handler)](CallContext context, std::string_view payload,
                                                  Responder responder) {
             Request request;
             if (!request.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
               return responder.Fail(Error(Code::kInvalidArgument, "request does not parse"));
             }
             handler(std::move(context), std::move(request), std::move(responder));
           }));
  }

  // Hears how long each call took that a handler has answered, on the thread that answered; must
  // not block. Register before serving.
  using Observer = std::function<void(std::string_view service, std::string_view method,
                                      std::chrono::nanoseconds took)>;
  void Observe(Observer observer);

  // Serves a connected stream until it closes; a kReconnecting one until the server is destroyed,
  // one client after the other. On the loop's thread, or before the loop runs.
  // `on_closed`, if given, is called once on the loop's thread after the connection has gone.
  Result<void> Serve(sys::UniqueFd connection, std::function<void()> on_closed = {},
                     StreamKind kind = StreamKind::kConnected);

  // Accepts from a listening socket and serves what comes. On the loop's thread, or before the loop
  // runs.
  Result<void> Listen(sys::UniqueFd listener);

  // Calls answered by no one yet, over all connections. From any thread.
  size_t calls_in_flight() const;
  // Connections served now. On the loop's thread.
  size_t connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kata::ttrpc
