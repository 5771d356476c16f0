// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/client.h"

#include <optional>
#include <unordered_map>

#include <fmt/format.h>

#include "base/mutex.h"
#include "ttrpc/connection.h"
#include "ttrpc/session.h"

namespace kata::ttrpc {
namespace {

using Clock = Deadline::Clock;

// Where a blocked caller waits. The Done that fills it may be destroyed without a call, when the
// loop ends before the answer comes; that counts as an answer.
struct Mailbox {
  Mutex mutex;
  CondVar filled;
  std::optional<Result<std::string>> answer KATA_GUARDED_BY(mutex);

  void Fill(Result<std::string> result) KATA_EXCLUDES(mutex) {
    {
      const MutexLock lock(mutex);
      if (answer) return;
      answer = std::move(result);
    }
    filled.NotifyAll();
  }

  // Nothing when the deadline has passed before.
  std::optional<Result<std::string>> Await(Deadline deadline) KATA_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    (void)filled.WaitUntil(mutex, deadline,
                           [this]() KATA_REQUIRES(mutex) { return answer.has_value(); });
    return std::exchange(answer, std::nullopt);
  }
};

class MailboxFiller {
 public:
  explicit MailboxFiller(std::shared_ptr<Mailbox> mailbox) : mailbox_(std::move(mailbox)) {}
  MailboxFiller(MailboxFiller&&) = default;
  MailboxFiller& operator=(MailboxFiller&&) = delete;
  ~MailboxFiller() {
    if (mailbox_) mailbox_->Fill(Fail(Code::kCancelled, "the event loop has ended"));
  }
  void operator()(Result<std::string> answer) { mailbox_->Fill(std::move(answer)); }

 private:
  std::shared_ptr<Mailbox> mailbox_;
};

}  // namespace

struct Client::State : std::enable_shared_from_this<Client::State> {
  State(sys::EventLoop& loop_in, const Limits& limits_in, std::function<void(Error)> on_closed_in,
        uint32_t first_id)
      : loop(loop_in),
        limits(limits_in),
        on_closed(std::move(on_closed_in)),
        session(limits_in, first_id) {}

  Result<void> Start(sys::UniqueFd stream);
  CallId CallAsync(std::string_view service, std::string_view method, std::string_view payload,
                   Deadline deadline, Done done, const Metadata& metadata);
  // The new call's stream id; `done` is taken only then. `rearm`: its deadline is the earliest.
  Result<uint32_t> Begin(std::string_view service, std::string_view method,
                         std::string_view payload, Deadline deadline, Done& done,
                         const Metadata& metadata, bool* rearm);
  void Cancel(CallId id, const Error& reason);
  void Shutdown();

  // The loop's thread only.
  size_t OnBytes(std::string_view bytes);
  void OnClosed(const Error& reason);
  void ArmTimer();
  void OnTimer();

  Done TakeLocked(uint32_t id) KATA_REQUIRES(mutex);
  void Post(Done done, Error error);

  sys::EventLoop& loop;
  const Limits limits;
  std::function<void(Error)> on_closed;
  Observer observer;
  std::optional<sys::EventLoop::TimerId> timer;
  std::shared_ptr<Connection> connection;

  Mutex mutex;  // taken before the connection's own
  ClientSession session KATA_GUARDED_BY(mutex);
  std::unordered_map<uint32_t, Done> waiting KATA_GUARDED_BY(mutex);
  Clock::time_point armed_for KATA_GUARDED_BY(mutex) = Clock::time_point::max();
  std::optional<Error> closed KATA_GUARDED_BY(mutex);
};

Result<std::unique_ptr<Client>> Client::Create(sys::EventLoop& loop, sys::UniqueFd stream,
                                               Limits limits, std::function<void(Error)> on_closed,
                                               uint32_t first_stream_id) {
  auto state = std::make_shared<State>(loop, limits, std::move(on_closed), first_stream_id);
  KATA_TRY(state->Start(std::move(stream)));
  return std::unique_ptr<Client>(new Client(std::move(state)));
}

Client::~Client() { state_->Shutdown(); }

Client::CallId Client::CallAsync(std::string_view service, std::string_view method,
                                 std::string payload, Deadline deadline, Done done,
                                 Metadata metadata) {
  return state_->CallAsync(service, method, payload, deadline, std::move(done), metadata);
}

void Client::Cancel(CallId id) {
  state_->Cancel(id, Error(Code::kCancelled, "the call was cancelled"));
}

Result<std::string> Client::Call(std::string_view service, std::string_view method,
                                 std::string payload, Deadline deadline, Metadata metadata) {
  // The client may be destroyed while this waits.
  const std::shared_ptr<State> state = state_;
  if (state->loop.OnLoopThread()) {
    return Fail(Code::kInternal, "a blocking call was made on the event loop's thread");
  }
  const auto mailbox = std::make_shared<Mailbox>();
  const auto begin = std::chrono::steady_clock::now();
  const CallId id =
      state->CallAsync(service, method, payload, deadline, MailboxFiller(mailbox), metadata);
  std::optional<Result<std::string>> answer = mailbox->Await(deadline);
  if (state->observer) state->observer(method, std::chrono::steady_clock::now() - begin);
  if (answer) return *std::move(answer);
  const Error late(Code::kDeadlineExceeded, fmt::format("{}: no answer in time", method));
  state->Cancel(id, late);
  return std::unexpected(late);
}

void Client::Observe(Observer observer) { state_->observer = std::move(observer); }

void Client::Close(Error reason) { state_->connection->Close(reason); }

size_t Client::calls_in_flight() const {
  const MutexLock lock(state_->mutex);
  return state_->session.open_calls();
}

uint64_t Client::next_stream_id() const {
  const MutexLock lock(state_->mutex);
  return state_->session.next_id();
}

Result<void> Client::State::Start(sys::UniqueFd stream) {
  const auto on_bytes = [weak = weak_from_this()](std::string_view bytes) {
    const auto self = weak.lock();
    return self ? self->OnBytes(bytes) : bytes.size();
  };
  const auto on_end = [weak = weak_from_this()](const Error& reason) {
    if (const auto self = weak.lock()) self->OnClosed(reason);
  };
  connection =
      KATA_TRY(Connection::Create(loop, std::move(stream), {},
                                  {.on_bytes = on_bytes, .on_peer_gone = {}, .on_closed = on_end}));
  return {};
}

Result<uint32_t> Client::State::Begin(std::string_view service, std::string_view method,
                                      std::string_view payload, Deadline deadline, Done& done,
                                      const Metadata& metadata, bool* rearm) {
  const MutexLock lock(mutex);
  if (closed) return std::unexpected(*closed);
  if (connection->queued_bytes() > limits.max_queued_bytes) {
    return Fail(Code::kResourceExhausted, "too many requests wait to be sent");
  }
  ClientSession::Started started =
      KATA_TRY(session.Start(service, method, payload, deadline, metadata, Clock::now()));
  waiting.emplace(started.stream_id, std::move(done));
  *rearm = deadline.when() < armed_for;
  if (*rearm) armed_for = deadline.when();
  connection->Send(std::move(started.frame));
  return started.stream_id;
}

Client::CallId Client::State::CallAsync(std::string_view service, std::string_view method,
                                        std::string_view payload, Deadline deadline, Done done,
                                        const Metadata& metadata) {
  bool rearm = false;
  const Result<uint32_t> id = Begin(service, method, payload, deadline, done, metadata, &rearm);
  if (!id) {
    Post(std::move(done), id.error().Within(method));
    return 0;
  }
  if (rearm && loop.OnLoopThread()) {
    ArmTimer();
  } else if (rearm) {
    loop.Post([self = shared_from_this()] { self->ArmTimer(); });
  }
  return *id;
}

void Client::State::Post(Done done, Error error) {
  loop.Post([done = std::move(done), error = std::move(error)]() mutable {
    done(std::unexpected(std::move(error)));
  });
}

Client::Done Client::State::TakeLocked(uint32_t id) {
  const auto it = waiting.find(id);
  if (it == waiting.end()) return {};
  Done done = std::move(it->second);
  waiting.erase(it);
  return done;
}

void Client::State::Cancel(CallId id, const Error& reason) {
  const MutexLock lock(mutex);
  if (closed || !session.Forget(static_cast<uint32_t>(id))) return;
  Post(TakeLocked(static_cast<uint32_t>(id)), reason);
}

size_t Client::State::OnBytes(std::string_view bytes) {
  std::string_view left = bytes;
  for (;;) {
    Done done;
    Result<std::optional<ClientSession::Ended>> ended;
    {
      const MutexLock lock(mutex);
      if (closed) break;
      ended = session.Next(left);
      if (ended && *ended) done = TakeLocked((*ended)->stream_id);
    }
    if (!ended) {
      connection->CloseNow(std::move(ended).error().WithCode(Code::kUnavailable));
      break;
    }
    if (!*ended) break;
    done(std::move((*ended)->answer));
  }
  return bytes.size();
}

void Client::State::OnClosed(const Error& reason) {
  std::unordered_map<uint32_t, Done> unanswered;
  Error why = reason;
  {
    const MutexLock lock(mutex);
    if (closed) {
      why = *closed;
    } else {
      closed = reason;
    }
    unanswered = std::exchange(waiting, {});
    session.ForgetAll();
  }
  if (timer) loop.Cancel(*timer);
  timer.reset();
  for (auto& [id, done] : unanswered) done(std::unexpected(why));
  if (const auto notify = std::exchange(on_closed, {})) notify(why);
}

void Client::State::Shutdown() {
  const Error reason(Code::kCancelled, "the client was destroyed");
  {
    const MutexLock lock(mutex);
    if (!closed) closed = reason;
  }
  if (loop.OnLoopThread()) {
    on_closed = {};
    connection->CloseNow(reason);
  } else {
    loop.Post([self = shared_from_this(), reason] {
      self->on_closed = {};
      self->connection->CloseNow(reason);
    });
    connection->Close(reason);
  }
}

void Client::State::ArmTimer() {
  std::optional<Clock::time_point> next;
  {
    const MutexLock lock(mutex);
    if (closed) return;
    next = session.next_deadline();
    armed_for = next.value_or(Clock::time_point::max());
  }
  if (timer) loop.Cancel(*timer);
  timer.reset();
  if (!next) return;
  timer = loop.RunAt(*next, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->OnTimer();
  });
}

void Client::State::OnTimer() {
  timer.reset();
  std::vector<Done> expired;
  {
    const MutexLock lock(mutex);
    if (closed) return;
    for (const uint32_t id : session.Expire(Clock::now())) expired.push_back(TakeLocked(id));
  }
  ArmTimer();
  for (Done& done : expired) {
    done(Fail(Code::kDeadlineExceeded, "no answer before the call's deadline"));
  }
}

}  // namespace kata::ttrpc
