// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/agent_test_bed.h - a real kata-agent as an ordinary root process, for tests.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/deadline.h"
#include "base/result.h"
#include "proto/agent.pb.h"
#include "proto/guest.pb.h"
#include "sys/event_loop.h"
#include "sys/process.h"
#include "ttrpc/client.h"

namespace kata::guest {

// Starts an agent in a private mount namespace, with a sandbox and a busybox root file system, and
// ends it with DestroySandbox. Skips where root, busybox or cgroup v2 are missing.
class AgentTestBed : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  template <class Response>
  Result<Response> Call(std::string_view method, const google::protobuf::MessageLite& request,
                        std::string_view service = "grpc.AgentService") {
    return client_->Call<Response>(service, method, request,
                                   Deadline::After(std::chrono::seconds(30)));
  }
  Result<void> Do(std::string_view method, const google::protobuf::MessageLite& request,
                  std::string_view service = "grpc.AgentService");

  // A request for a container with its own namespaces that runs `args`.
  agent::CreateContainerRequest ContainerOf(const std::string& id,
                                            const std::vector<std::string>& args,
                                            bool terminal = false) const;
  Result<void> CreateContainer(const std::string& id, const std::vector<std::string>& args,
                               bool terminal = false);
  Result<void> StartContainer(const std::string& id);
  // Both of them, and the test fails if they do.
  void Run(const std::string& id, const std::vector<std::string>& args, bool terminal = false);
  Result<void> RemoveContainer(const std::string& id);
  Result<void> Exec(const std::string& id, const std::string& exec_id,
                    const std::vector<std::string>& args, bool terminal = false);
  Result<int> Wait(const std::string& id, const std::string& exec_id = "");
  Result<void> Signal(const std::string& id, const std::string& exec_id, uint32_t signal);
  // Reads to the end.
  std::string Stdout(const std::string& id, const std::string& exec_id = "");
  std::string Stderr(const std::string& id, const std::string& exec_id = "");
  // Reads until `text` has come; what came until then or until the end.
  std::string StdoutUntil(const std::string& id, const std::string& exec_id, std::string_view text);
  Result<uint32_t> Write(const std::string& id, const std::string& exec_id, std::string data);
  Result<void> CloseStdin(const std::string& id, const std::string& exec_id = "");

  std::string dir_;
  std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
  sys::ChildProcess agent_;
  std::unique_ptr<ttrpc::Client> client_;

 private:
  std::string Read(std::string_view method, const std::string& id, const std::string& exec_id,
                   std::string_view until);
  void MakeRootfs() const;
};

}  // namespace kata::guest
