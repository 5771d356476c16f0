// SPDX-License-Identifier: Apache-2.0
#include "host/shim/events.h"

#include <algorithm>
#include <bit>
#include <deque>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "host/shim/timestamp.h"

namespace kata::shim {
namespace {

using Clock = Deadline::Clock;

std::unique_ptr<EventTransport> ChooseTransport(sys::EventLoop& loop, const DaemonArgs& args) {
  if (!args.ttrpc_address.empty()) return MakeTtrpcTransport(loop, args.ttrpc_address);
  if (!args.publish_binary.empty()) {
    return MakeBinaryTransport(loop, args.publish_binary, args.containerd_address);
  }
  log::Warn("no way to containerd's event service: events are dropped");
  return nullptr;
}

struct Pending {
  events::Envelope envelope;
  Clock::time_point published;
};

}  // namespace

// Posted work may outlive the publisher, so it holds this weakly.
struct EventPublisher::State : std::enable_shared_from_this<State> {
  State(sys::EventLoop& loop_in, std::string namespace_name_in,
        std::unique_ptr<EventTransport> transport_in, EventLimits limits_in)
      : loop(loop_in),
        namespace_name(std::move(namespace_name_in)),
        limits(limits_in),
        transport(std::move(transport_in)),
        pause(limits_in.min_pause) {}

  sys::EventLoop& loop;
  const std::string namespace_name;
  const EventLimits limits;

  // The loop's thread only.
  std::unique_ptr<EventTransport> transport;
  Clock::duration pause;
  bool waiting = false;  // for the end of the pause
  bool away = false;     // containerd was, at the last try
  int refusals = 0;      // of the event at the front

  Mutex mutex;
  CondVar emptied;
  std::deque<Pending> queue KATA_GUARDED_BY(mutex);
  bool sending KATA_GUARDED_BY(mutex) = false;  // the event at the front is on its way
  uint64_t dropped KATA_GUARDED_BY(mutex) = 0;

  void Add(events::Envelope envelope);
  void SendNext();
  void OnSent(const Result<void>& result);
  void PauseThenSend();
  bool Hopeless(const Error& error);
  void PopFront(bool is_dropped);
  // The loop calls `step`, if this object still exists then.
  sys::EventLoop::Task OnLoop(void (State::*step)()) {
    return [weak = weak_from_this(), step] {
      if (const auto self = weak.lock()) ((*self).*step)();
    };
  }
};

void EventPublisher::State::Add(events::Envelope envelope) {
  uint64_t newly_dropped = 0;
  {
    const MutexLock lock(mutex);
    if (queue.size() >= std::max<size_t>(limits.max_queued, 2)) {
      // Not the one that is on its way.
      queue.erase(queue.begin() + (sending ? 1 : 0));
      newly_dropped = ++dropped;
    }
    queue.push_back({std::move(envelope), Clock::now()});
  }
  // 1, 2, 4, 8, ...: a long outage must not fill the log.
  if (std::has_single_bit(newly_dropped)) {
    log::Warn("too many events wait for containerd: oldest ones dropped",
              {{"dropped", newly_dropped}});
  }
  loop.Post(OnLoop(&State::SendNext));
}

void EventPublisher::State::SendNext() {
  if (waiting) return;
  events::Envelope envelope;
  {
    const MutexLock lock(mutex);
    if (sending || queue.empty()) return;
    sending = true;
    envelope = queue.front().envelope;
  }
  transport->Send(envelope, [weak = weak_from_this()](Result<void> result) {
    if (const auto self = weak.lock()) self->OnSent(result);
  });
}

void EventPublisher::State::OnSent(const Result<void>& result) {
  if (result) {
    if (std::exchange(away, false)) log::Info("containerd takes events again");
    PopFront(/*is_dropped=*/false);
    return SendNext();
  }
  if (Hopeless(result.error())) {
    PopFront(/*is_dropped=*/true);
    return SendNext();
  }
  {
    const MutexLock lock(mutex);
    sending = false;
  }
  PauseThenSend();
}

bool EventPublisher::State::Hopeless(const Error& error) {
  std::string topic;
  bool too_old = false;
  {
    const MutexLock lock(mutex);
    topic = queue.front().envelope.topic();
    too_old = Clock::now() - queue.front().published > limits.max_age;
  }
  if (error.code() == Code::kUnavailable) {
    if (!std::exchange(away, true)) {
      log::Warn("containerd does not take events: they wait", {{"error", error.message()}});
    }
    if (!too_old) return false;
  } else if (++refusals < limits.max_refusals) {
    return false;
  }
  log::Warn("event dropped", {{"topic", topic}, {"error", error.message()}});
  return true;
}

void EventPublisher::State::PauseThenSend() {
  waiting = true;
  loop.RunAfter(pause, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->waiting = false;
      self->SendNext();
    }
  });
  pause = std::min(pause * 2, limits.max_pause);
}

void EventPublisher::State::PopFront(bool is_dropped) {
  refusals = 0;
  // A containerd that is away is asked as seldom for the next event as for this one.
  if (!is_dropped) pause = limits.min_pause;
  const MutexLock lock(mutex);
  sending = false;
  queue.pop_front();
  if (is_dropped) ++dropped;
  if (queue.empty()) emptied.NotifyAll();
}

EventPublisher::EventPublisher(sys::EventLoop& loop, const DaemonArgs& args)
    : EventPublisher(loop, args.namespace_name, ChooseTransport(loop, args), {}) {}

EventPublisher::EventPublisher(sys::EventLoop& loop, std::string namespace_name,
                               std::unique_ptr<EventTransport> transport, EventLimits limits)
    : state_(
          std::make_shared<State>(loop, std::move(namespace_name), std::move(transport), limits)) {}

EventPublisher::~EventPublisher() = default;

void EventPublisher::Publish(std::string_view topic, std::string_view type,
                             const google::protobuf::MessageLite& event) {
  if (!state_->transport) return;
  events::Envelope envelope;
  *envelope.mutable_timestamp() = ToTimestamp(std::chrono::system_clock::now());
  envelope.set_namespace_(state_->namespace_name);
  envelope.set_topic(std::string(topic));
  envelope.mutable_event()->set_type_url(std::string(type));
  envelope.mutable_event()->set_value(event.SerializeAsString());
  state_->Add(std::move(envelope));
}

bool EventPublisher::Flush(Deadline deadline) {
  State& state = *state_;
  const MutexLock lock(state.mutex);
  return state.emptied.WaitUntil(
      state.mutex, deadline, [&state]() KATA_REQUIRES(state.mutex) { return state.queue.empty(); });
}

uint64_t EventPublisher::dropped() const {
  const MutexLock lock(state_->mutex);
  return state_->dropped;
}

void EventPublisher::TaskCreate(const task::CreateTaskRequest& request, uint32_t pid) {
  events::TaskCreate event;
  event.set_container_id(request.id());
  event.set_bundle(request.bundle());
  *event.mutable_rootfs() = request.rootfs();
  event.mutable_io()->set_stdin(request.stdin());
  event.mutable_io()->set_stdout(request.stdout());
  event.mutable_io()->set_stderr(request.stderr());
  event.mutable_io()->set_terminal(request.terminal());
  event.set_checkpoint(request.checkpoint());
  event.set_pid(pid);
  Publish("/tasks/create", "containerd.events.TaskCreate", event);
}

void EventPublisher::TaskStart(const std::string& container_id, uint32_t pid) {
  events::TaskStart event;
  event.set_container_id(container_id);
  event.set_pid(pid);
  Publish("/tasks/start", "containerd.events.TaskStart", event);
}

void EventPublisher::TaskExit(const std::string& container_id, const std::string& id, uint32_t pid,
                              uint32_t exit_status, TimePoint exited_at) {
  events::TaskExit event;
  event.set_container_id(container_id);
  event.set_id(id);
  event.set_pid(pid);
  event.set_exit_status(exit_status);
  *event.mutable_exited_at() = ToTimestamp(exited_at);
  Publish("/tasks/exit", "containerd.events.TaskExit", event);
}

void EventPublisher::TaskDelete(const std::string& container_id, const std::string& exec_id,
                                uint32_t pid, uint32_t exit_status, TimePoint exited_at) {
  events::TaskDelete event;
  event.set_container_id(container_id);
  event.set_id(exec_id);
  event.set_pid(pid);
  event.set_exit_status(exit_status);
  *event.mutable_exited_at() = ToTimestamp(exited_at);
  Publish("/tasks/delete", "containerd.events.TaskDelete", event);
}

void EventPublisher::TaskExecAdded(const std::string& container_id, const std::string& exec_id) {
  events::TaskExecAdded event;
  event.set_container_id(container_id);
  event.set_exec_id(exec_id);
  Publish("/tasks/exec-added", "containerd.events.TaskExecAdded", event);
}

void EventPublisher::TaskExecStarted(const std::string& container_id, const std::string& exec_id,
                                     uint32_t pid) {
  events::TaskExecStarted event;
  event.set_container_id(container_id);
  event.set_exec_id(exec_id);
  event.set_pid(pid);
  Publish("/tasks/exec-started", "containerd.events.TaskExecStarted", event);
}

void EventPublisher::TaskOOM(const std::string& container_id) {
  events::TaskOOM event;
  event.set_container_id(container_id);
  Publish("/tasks/oom", "containerd.events.TaskOOM", event);
}

void EventPublisher::TaskPaused(const std::string& container_id) {
  events::TaskPaused event;
  event.set_container_id(container_id);
  Publish("/tasks/paused", "containerd.events.TaskPaused", event);
}

void EventPublisher::TaskResumed(const std::string& container_id) {
  events::TaskResumed event;
  event.set_container_id(container_id);
  Publish("/tasks/resumed", "containerd.events.TaskResumed", event);
}

void EventPublisher::TaskCheckpointed(const std::string& container_id,
                                      const std::string& checkpoint) {
  events::TaskCheckpointed event;
  event.set_container_id(container_id);
  event.set_checkpoint(checkpoint);
  Publish("/tasks/checkpointed", "containerd.events.TaskCheckpointed", event);
}

}  // namespace kata::shim
