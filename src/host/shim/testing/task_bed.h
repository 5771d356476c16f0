// SPDX-License-Identifier: Apache-2.0
//
// host/shim/testing/task_bed.h - a TaskService as containerd sees it, over a connection, on a fake
// host (machine/testing/fake_host.h).
//
// The sandbox is the pod "pod"; every container's root file system is a read-only disk.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/deadline.h"
#include "base/mutex.h"
#include "host/machine/testing/fake_host.h"
#include "host/shim/events.h"
#include "host/shim/task_service.h"
#include "sys/temporary_dir.h"
#include "sys/worker_pool.h"
#include "ttrpc/client.h"

namespace kata::shim {

// Asks until `met` says so; false when that takes unreasonably long.
bool WaitUntil(const std::function<bool()>& met);

// What happened, in the order in which containerd hears of it: "create pod", "start pod/x".
class EventLog {
 public:
  void Add(std::string event);
  std::vector<std::string> all() const;
  bool Has(const std::string& event) const;

 private:
  mutable Mutex mutex_;
  std::vector<std::string> events_ KATA_GUARDED_BY(mutex_);
};

class TaskBed {
 public:
  static constexpr char kPod[] = "pod";

  // `threads`: for how many calls at once; Kill has its own.
  explicit TaskBed(size_t threads = 16);
  TaskBed(const TaskBed&) = delete;
  TaskBed& operator=(const TaskBed&) = delete;
  // Ends what is there and expects that nothing is left.
  ~TaskBed();

  sandbox::FakeHost& host() { return *host_; }
  const EventLog& events() const { return *events_; }
  // All of them, when those that were published until now have arrived.
  std::vector<std::string> FlushedEvents();
  // Whether the service has asked for the end of its process.
  bool ended() const { return ended_; }

  template <class Response>
  using Answer = std::future<Result<Response>>;

  // The file that stands for the service's socket.
  std::string socket() const { return directory_.path() + "/socket"; }

  // Any call, by the current connection.
  template <class Response>
  Answer<Response> Send(std::string_view method, const google::protobuf::MessageLite& request,
                        Deadline deadline = Deadline::After(std::chrono::seconds(60))) {
    return SendTo<Response>("containerd.task.v2.Task", method, request, deadline);
  }
  template <class Response>
  Answer<Response> SendTo(std::string_view service, std::string_view method,
                          const google::protobuf::MessageLite& request, Deadline deadline) {
    auto promise = std::make_shared<std::promise<Result<Response>>>();
    auto future = promise->get_future();
    client_->CallAsync<Response>(
        service, method, request, deadline,
        [promise](Result<Response> response) { promise->set_value(std::move(response)); });
    return future;
  }

  // `annotations` are JSON members that follow those of a pod.
  Answer<task::CreateTaskResponse> Create(const std::string& id, Deadline deadline = Patience(),
                                          const std::string& annotations = "");
  Answer<task::StartResponse> Start(const std::string& id, const std::string& exec_id = "");
  Answer<wellknown::Empty> Exec(const std::string& id, const std::string& exec_id);
  Answer<wellknown::Empty> Kill(const std::string& id, const std::string& exec_id = "",
                                uint32_t signal = 9);
  Answer<task::DeleteResponse> Delete(const std::string& id, const std::string& exec_id = "");
  Answer<task::WaitResponse> Wait(const std::string& id, const std::string& exec_id = "");
  Answer<task::StateResponse> State(const std::string& id, const std::string& exec_id = "");
  Answer<wellknown::Empty> Shutdown(bool now = false);

  // Of containerd's sandbox API.
  static constexpr std::string_view kSandboxApi = "containerd.runtime.sandbox.v1.Sandbox";
  template <class Response, class Request>
  Answer<Response> SendPod(std::string_view method, Request request,
                           Deadline deadline = Deadline::After(std::chrono::seconds(60))) {
    request.set_sandbox_id(kPod);
    return SendTo<Response>(kSandboxApi, method, request, deadline);
  }

  Answer<wellknown::Empty> Update(const std::string& id, const std::string& resources);

  // Creates and starts the pod's first container.
  void StartPod(const std::string& annotations = "");

  // containerd goes, or comes back. Calls in flight end with kCancelled.
  void Disconnect();
  void Connect();

 private:
  static Deadline Patience() { return Deadline::After(std::chrono::seconds(60)); }
  void RunOnLoop(const std::function<void()>& work);
  std::string WriteBundle(const std::string& id, const std::string& annotations);

  const sys::TemporaryDir directory_{"kata-task-bed"};
  const std::shared_ptr<EventLog> events_ = std::make_shared<EventLog>();
  const std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
  std::unique_ptr<sandbox::FakeHost> host_;
  std::unique_ptr<EventPublisher> publisher_;
  std::unique_ptr<sys::WorkerPool> pool_;
  std::unique_ptr<TaskService> service_;
  std::unique_ptr<ttrpc::Server> server_;
  std::unique_ptr<ttrpc::Client> client_;
  std::atomic<bool> ended_ = false;
};

}  // namespace kata::shim
