// SPDX-License-Identifier: Apache-2.0
//
// host/shim/events.h - telling containerd what happens to tasks.
//
// Events arrive in the order of publishing: the next one is sent when containerd has acknowledged
// the last one. While containerd is away they wait, in bounded number and for a bounded time; an
// event can arrive twice when its acknowledgement was lost.
// Basis: containerd's runtime v2 README, "Events"; containerd's events.proto.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <google/protobuf/message_lite.h>

#include "base/deadline.h"
#include "host/shim/daemon.h"
#include "host/shim/event_transport.h"
#include "proto/task.pb.h"
#include "sys/event_loop.h"

namespace kata::shim {

struct EventLimits {
  size_t max_queued = 1024;  // beyond it the oldest event is dropped
  // How long an event waits for a containerd that is away.
  Deadline::Clock::duration max_age = std::chrono::minutes(10);
  // The first and the longest pause between two tries.
  Deadline::Clock::duration min_pause = std::chrono::milliseconds(20);
  Deadline::Clock::duration max_pause = std::chrono::seconds(2);
  int max_refusals = 5;  // tries for an event that containerd answers with an error
};

// Safe from every thread. `loop` must outlive it; events are sent only while the loop runs.
class EventPublisher {
 public:
  using TimePoint = std::chrono::system_clock::time_point;

  // To args.ttrpc_address, else through args.publish_binary; with neither, events are dropped.
  EventPublisher(sys::EventLoop& loop, const DaemonArgs& args);
  // `transport` may be null: drop everything.
  EventPublisher(sys::EventLoop& loop, std::string namespace_name,
                 std::unique_ptr<EventTransport> transport, EventLimits limits);
  EventPublisher(const EventPublisher&) = delete;
  EventPublisher& operator=(const EventPublisher&) = delete;
  // On the loop's thread, or while the loop does not run. What waits is dropped.
  ~EventPublisher();

  void TaskCreate(const task::CreateTaskRequest& request, uint32_t pid);
  void TaskStart(const std::string& container_id, uint32_t pid);
  // id: the exec's, or the container's for its init process
  void TaskExit(const std::string& container_id, const std::string& id, uint32_t pid,
                uint32_t exit_status, TimePoint exited_at);
  // exec_id: empty for the task itself
  void TaskDelete(const std::string& container_id, const std::string& exec_id, uint32_t pid,
                  uint32_t exit_status, TimePoint exited_at);
  void TaskExecAdded(const std::string& container_id, const std::string& exec_id);
  void TaskExecStarted(const std::string& container_id, const std::string& exec_id, uint32_t pid);
  void TaskOOM(const std::string& container_id);
  void TaskPaused(const std::string& container_id);
  void TaskResumed(const std::string& container_id);
  void TaskCheckpointed(const std::string& container_id, const std::string& checkpoint);

  // type  the message's name on the wire, such as "containerd.events.TaskExit"
  void Publish(std::string_view topic, std::string_view type,
               const google::protobuf::MessageLite& event);

  // Waits until all that was published is with containerd, dropped, or the deadline has passed;
  // returns whether nothing waits any more. Never on the loop's thread.
  bool Flush(Deadline deadline);

  // Events that never reached containerd.
  uint64_t dropped() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kata::shim
