// SPDX-License-Identifier: Apache-2.0
//
// host/machine/testing/fake_agent.h - the agent of a guest that is not there.
//
// Serves the calls that a sandbox makes, over any stream, and keeps containers and processes as a
// table: a program runs until it is killed or End() is called. All of it lives on the event loop's
// thread; what tests ask runs there too, and blocks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proto/agent.pb.h"
#include "proto/guest.pb.h"
#include "proto/health.pb.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "ttrpc/server.h"

namespace kata::sandbox {

// A call as scripts see it: its method, and what it is about.
struct AgentCall {
  std::string method;
  std::string container_id;
  std::string exec_id;
};

// Decides about each call, on the loop's thread, before anything has happened. `go` makes it happen
// and answers; with an error it only answers. `go` may be kept and called later, on the same
// thread, or never: then the guest is silent.
using AgentScript =
    std::function<void(const AgentCall& call, std::function<void(Result<void>)> go)>;

class FakeAgent : public std::enable_shared_from_this<FakeAgent> {
 public:
  explicit FakeAgent(sys::EventLoop& loop, AgentScript script)
      : loop_(loop), script_(std::move(script)) {}

  // On the loop's thread. Close() before the last owner lets go.
  void Serve(sys::UniqueFd stream);
  void Close();

  // From any thread but the loop's.
  std::vector<std::string> Containers();
  // "<container>" or "<container>/<exec>" of what runs.
  std::vector<std::string> Running();
  void RunOnLoop(const std::function<void()>& work);
  // What it tells of itself, as Prometheus' text. On the loop's thread, or before it serves.
  void SetMetrics(std::string text) { metrics_ = std::move(text); }
  // The process ends with `status`, as by itself.
  void End(const std::string& container_id, const std::string& exec_id, int status);

 private:
  struct Process {
    bool running = false;
    std::optional<int> status;
    std::vector<ttrpc::Responder> waiters;
    std::vector<ttrpc::Responder> readers;
  };
  struct Container {
    std::map<std::string, std::shared_ptr<Process>> processes;  // the first one's name is empty
  };

  template <class Request>
  void Handle(std::string_view service, const std::string& method,
              void (FakeAgent::*act)(const Request&, ttrpc::Responder&));
  void Register();
  std::shared_ptr<Process> Find(const std::string& container_id, const std::string& exec_id) const;
  static void EndProcess(Process& process, int status);

  template <class Request>
  void Acknowledge(const Request&, ttrpc::Responder& reply) {
    reply.ReplyEmpty();
  }
  void CreateContainer(const agent::CreateContainerRequest& request, ttrpc::Responder& reply);
  void StartContainer(const agent::StartContainerRequest& request, ttrpc::Responder& reply);
  void RemoveContainer(const agent::RemoveContainerRequest& request, ttrpc::Responder& reply);
  void ExecProcess(const agent::ExecProcessRequest& request, ttrpc::Responder& reply);
  void SignalProcess(const agent::SignalProcessRequest& request, ttrpc::Responder& reply);
  void WaitProcess(const agent::WaitProcessRequest& request, ttrpc::Responder& reply);
  void ReadStream(const agent::ReadStreamRequest& request, ttrpc::Responder& reply);
  void StatsContainer(const agent::StatsContainerRequest& request, ttrpc::Responder& reply);
  void GetMetrics(const agent::GetMetricsRequest& request, ttrpc::Responder& reply);
  void Check(const health::CheckRequest& request, ttrpc::Responder& reply);

  sys::EventLoop& loop_;
  const AgentScript script_;
  std::unique_ptr<ttrpc::Server> server_;
  std::map<std::string, Container> containers_;
  std::string metrics_;
  std::vector<ttrpc::Responder> parked_;  // whose answer never comes
};

}  // namespace kata::sandbox
