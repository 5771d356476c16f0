// SPDX-License-Identifier: Apache-2.0
#include "host/agent/agent_client.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "proto/health.pb.h"
#include "proto/wellknown.pb.h"
#include "routes/listener_messages.h"

namespace kata::agent {
namespace {

// Twice the largest honest answer, a chunk of output.
constexpr size_t kMaxResponse = 2 * AgentClient::kChunk;
constexpr std::string_view kAgentService = "grpc.AgentService";
constexpr std::string_view kHealthService = "grpc.Health";
// Longer than the agent gives each of the programs that it runs one after the other.
constexpr auto kFilterTimeout = std::chrono::minutes(2);
constexpr std::chrono::milliseconds kKillTimeout = std::chrono::seconds(5);
// Somebody waits in a system call for the answer.
constexpr std::chrono::milliseconds kLookTimeout = std::chrono::seconds(5);

template <class Request>
Request ForProcess(const ProcessName& process) {
  Request request;
  request.set_container_id(process.container_id);
  request.set_exec_id(process.exec_id);
  return request;
}

template <class Request>
Request ForContainer(const std::string& container_id) {
  Request request;
  request.set_container_id(container_id);
  return request;
}

// The guest may answer more than it was asked for.
Result<std::string> Bounded(Result<agent::ReadStreamResponse> response) {
  if (!response) return std::unexpected(std::move(response).error());
  if (response->data().size() > AgentClient::kChunk) {
    return Fail(Code::kInternal, "the guest sent more output than was asked for");
  }
  return std::move(*response->mutable_data());
}

}  // namespace

Result<std::unique_ptr<AgentClient>> AgentClient::Create(sys::EventLoop& loop,
                                                         sys::UniqueFd channel,
                                                         std::chrono::milliseconds request_timeout,
                                                         std::function<void(Error)> on_closed,
                                                         uint32_t first_stream) {
  const ttrpc::Limits limits{.max_response = kMaxResponse};
  auto waiting = std::make_shared<WaitingCalls>(loop);
  auto closed = [waiting, on_closed = std::move(on_closed)](Error reason) {
    waiting->Release();
    if (on_closed) on_closed(std::move(reason));
  };
  auto client = KATA_TRY(
      ttrpc::Client::Create(loop, std::move(channel), limits, std::move(closed), first_stream));
  waiting->Use(*client);
  return std::unique_ptr<AgentClient>(
      new AgentClient(std::move(client), std::move(waiting), request_timeout));
}

AgentClient::~AgentClient() { waiting_->End(); }

template <class Response>
void AgentClient::CallWaiting(std::string_view service, std::string_view method,
                              const google::protobuf::MessageLite& request,
                              std::move_only_function<void(Result<Response>)> done) {
  waiting_->Call(
      std::string(service), std::string(method), request.SerializeAsString(),
      [method = std::string(method), done = std::move(done)](Result<std::string> payload) mutable {
        if (!payload) return done(std::unexpected(std::move(payload).error()));
        Response response;
        if (!response.ParseFromString(*payload)) {
          return done(Fail(Code::kInternal, method + ": the response does not parse"));
        }
        done(std::move(response));
      });
}

template <class Response>
Result<Response> AgentClient::Call(std::string_view method,
                                   const google::protobuf::MessageLite& request) {
  auto response =
      client_->Call<Response>(kAgentService, method, request, Deadline::After(request_timeout_));
  if (!response) return std::unexpected(std::move(response).error().Within(method));
  return response;
}

Result<void> AgentClient::CallVoid(std::string_view method,
                                   const google::protobuf::MessageLite& request,
                                   std::chrono::milliseconds timeout) {
  auto response =
      client_->Call<wellknown::Empty>(kAgentService, method, request, Deadline::After(timeout));
  // The guest's words reach users as they are: they are worded as runc words them.
  if (!response) return std::unexpected(std::move(response).error());
  return {};
}

Result<void> AgentClient::CallVoid(std::string_view method,
                                   const google::protobuf::MessageLite& request) {
  return CallVoid(method, request, request_timeout_);
}

Result<void> AgentClient::WaitUntilServing(Deadline deadline) {
  health::CheckRequest request;
  const auto response = KATA_TRY(
      client_->Call<health::HealthCheckResponse>(kHealthService, "Check", request, deadline));
  if (response.status() != health::HealthCheckResponse::SERVING) {
    return Fail(Code::kUnavailable, "the agent says that it is not serving");
  }
  return {};
}

Result<void> AgentClient::CreateSandbox(const agent::CreateSandboxRequest& request) {
  return CallVoid("CreateSandbox", request);
}

Result<void> AgentClient::ResetSandbox() {
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "ResetSandbox",
                                           guest::ResetSandboxRequest(),
                                           Deadline::After(request_timeout_)));
  return {};
}

Result<void> AgentClient::CreateContainer(const agent::CreateContainerRequest& request,
                                          std::chrono::milliseconds timeout) {
  return CallVoid("CreateContainer", request, timeout);
}

Result<void> AgentClient::StartContainer(const std::string& container_id) {
  return CallVoid("StartContainer", ForContainer<agent::StartContainerRequest>(container_id));
}

Result<void> AgentClient::RemoveContainer(const std::string& container_id,
                                          std::chrono::milliseconds timeout) {
  return CallVoid("RemoveContainer", ForContainer<agent::RemoveContainerRequest>(container_id),
                  timeout);
}

Result<void> AgentClient::ExecProcess(const agent::ExecProcessRequest& request) {
  return CallVoid("ExecProcess", request);
}

Result<void> AgentClient::SignalProcess(const ProcessName& process, uint32_t signal) {
  auto request = ForProcess<agent::SignalProcessRequest>(process);
  request.set_signal(signal);
  return CallVoid("SignalProcess", request,
                  signal == SIGKILL ? std::min(kKillTimeout, request_timeout_) : request_timeout_);
}

Result<void> AgentClient::SignalAll(const std::string& container_id, uint32_t signal) {
  // Without an exec's name, the protocol's SIGKILL is for all.
  if (signal == SIGKILL) return SignalProcess({container_id, ""}, signal);
  auto request = ForContainer<guest::SignalAllRequest>(container_id);
  request.set_signal(signal);
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "SignalAll", request,
                                           Deadline::After(request_timeout_)));
  return {};
}

Result<csi::VolumeStatsResponse> AgentClient::VolumeStats(const std::string& path) {
  agent::VolumeStatsRequest request;
  request.set_volume_guest_path(path);
  return Call<csi::VolumeStatsResponse>("GetVolumeStats", request);
}

Result<void> AgentClient::ResizeVolume(const std::string& mount_point, uint64_t bytes,
                                       std::chrono::milliseconds timeout) {
  agent::ResizeVolumeRequest request;
  request.set_volume_guest_path(mount_point);
  request.set_size(bytes);
  return CallVoid("ResizeVolume", request, timeout);
}

Result<types::Interface> AgentClient::UpdateInterface(const types::Interface& interface,
                                                      const agent::NetworkSettings* settings) {
  agent::UpdateInterfaceRequest request;
  if (!interface.name().empty()) *request.mutable_interface() = interface;
  if (settings != nullptr) *request.mutable_settings() = *settings;
  return Call<types::Interface>("UpdateInterface", request);
}

Result<void> AgentClient::ReleaseInterface(const std::string& permanent_mac) {
  guest::ReleaseInterfaceRequest request;
  request.set_permanent_hw_addr(permanent_mac);
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "ReleaseInterface", request,
                                           Deadline::After(request_timeout_)));
  return {};
}

Result<void> AgentClient::UpdateRoutes(const agent::Routes& routes) {
  agent::UpdateRoutesRequest request;
  *request.mutable_routes() = routes;
  KATA_TRY(Call<agent::Routes>("UpdateRoutes", request));
  return {};
}

Result<void> AgentClient::AddNeighbors(const agent::ARPNeighbors& neighbors) {
  agent::AddARPNeighborsRequest request;
  *request.mutable_neighbors() = neighbors;
  return CallVoid("AddARPNeighbors", request);
}

Result<std::string> AgentClient::GetIpTables(bool ipv6) {
  agent::GetIPTablesRequest request;
  request.set_is_ipv6(ipv6);
  auto response = client_->Call<agent::GetIPTablesResponse>(kAgentService, "GetIPTables", request,
                                                            Deadline::After(kFilterTimeout));
  if (!response) return std::unexpected(std::move(response).error());
  return std::move(*response->mutable_data());
}

Result<void> AgentClient::SetIpTables(bool ipv6, const std::string& rules) {
  agent::SetIPTablesRequest request;
  request.set_is_ipv6(ipv6);
  request.set_data(rules);
  KATA_TRY(client_->Call<agent::SetIPTablesResponse>(kAgentService, "SetIPTables", request,
                                                     Deadline::After(kFilterTimeout)));
  return {};
}

Result<std::vector<std::string>> AgentClient::StorageDrivers() {
  const auto response =
      KATA_TRY(Call<agent::GuestDetailsResponse>("GetGuestDetails", agent::GuestDetailsRequest()));
  const auto& names = response.agent_details().storage_handlers();
  return std::vector<std::string>(names.begin(), names.end());
}

Result<void> AgentClient::ReconfigureMount(const std::string& mount_point) {
  guest::ReconfigureMountRequest request;
  request.set_mount_point(mount_point);
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "ReconfigureMount", request,
                                           Deadline::After(request_timeout_)));
  return {};
}

void AgentClient::ReconfigureMountAsync(const std::string& mount_point) {
  guest::ReconfigureMountRequest request;
  request.set_mount_point(mount_point);
  client_->CallAsync<wellknown::Empty>(
      kGuestService, "ReconfigureMount", request, Deadline::After(request_timeout_),
      [mount_point](const Result<wellknown::Empty>& done) {
        // Before it is mounted, and after its end, there is nothing to be told.
        if (done || done.error().code() == Code::kNotFound) return;
        log::Warn("the guest does not look anew at what the host has changed",
                  {{"mount", mount_point}, {"error", done.error().message()}});
      });
}

Result<void> AgentClient::CopyFile(const GuestFile& file) {
  const std::string_view content = file.content;
  size_t offset = 0;
  do {
    const std::string_view piece = content.substr(offset, kChunk);
    agent::CopyFileRequest request;
    request.set_path(file.path);
    request.set_file_size(static_cast<int64_t>(content.size()));
    request.set_file_mode(file.mode);
    request.set_uid(static_cast<int32_t>(file.uid));
    request.set_gid(static_cast<int32_t>(file.gid));
    request.set_offset(static_cast<int64_t>(offset));
    request.set_data(std::string(piece));
    KATA_TRY(CallVoid("CopyFile", request));
    offset += piece.size();
  } while (offset < content.size());
  return {};
}

Result<void> AgentClient::RemoveCopies(const std::vector<std::string>& paths) {
  guest::RemoveCopiesRequest request;
  for (const std::string& path : paths) request.add_paths(path);
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "RemoveCopies", request,
                                           Deadline::After(request_timeout_)));
  return {};
}

Result<void> AgentClient::ListenForNames(const std::string& address) {
  guest::ListenForNamesRequest request;
  request.set_address(address);
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "ListenForNames", request,
                                           Deadline::After(request_timeout_)));
  return {};
}

void AgentClient::NextName(std::move_only_function<void(Result<guest::DnsMessage>)> done) {
  CallWaiting<guest::DnsMessage>(kGuestService, "NextName", guest::NextNameRequest(),
                                 std::move(done));
}

void AgentClient::NextListeners(
    const std::vector<sys::ReachedListener>& known,
    std::move_only_function<void(Result<std::vector<sys::ReachedListener>>)> done) {
  CallWaiting<guest::Listeners>(kGuestService, "NextListeners", routes::WriteListeners(known),
                                [done = std::move(done)](Result<guest::Listeners> now) mutable {
                                  if (!now) return done(std::unexpected(std::move(now).error()));
                                  done(routes::ReadListeners(*now));
                                });
}

void AgentClient::KeepListenersAsync(const std::vector<sys::ReachedListener>& listeners) {
  guest::KeepListenersRequest request;
  *request.mutable_listeners() = routes::WriteListeners(listeners);
  client_->CallAsync<wellknown::Empty>(
      kGuestService, "KeepListeners", request, Deadline::After(request_timeout_),
      [](const Result<wellknown::Empty>& kept) {
        if (!kept)
          log::Warn("the guest does not listen for the host", {{"error", kept.error().message()}});
      });
}

void AgentClient::ForgetPathsAsync(const std::vector<std::string>& paths) {
  guest::ForgetPathsRequest request;
  for (const std::string& path : paths) request.add_paths(path);
  client_->CallAsync<wellknown::Empty>(kGuestService, "ForgetPaths", request,
                                       Deadline::After(request_timeout_),
                                       [](const Result<wellknown::Empty>&) {});
}

void AgentClient::AnswerName(uint64_t id, std::string message) {
  guest::DnsMessage answer;
  answer.set_id(id);
  answer.set_message(std::move(message));
  client_->CallAsync<wellknown::Empty>(kGuestService, "AnswerName", answer,
                                       Deadline::After(request_timeout_),
                                       [](const Result<wellknown::Empty>&) {});
}

Result<void> AgentClient::ResizeTerminal(const ProcessName& process, uint32_t rows,
                                         uint32_t columns) {
  auto request = ForProcess<agent::TtyWinResizeRequest>(process);
  request.set_row(rows);
  request.set_column(columns);
  return CallVoid("TtyWinResize", request);
}

Result<void> AgentClient::PauseContainer(const std::string& container_id,
                                         std::chrono::milliseconds patience) {
  return CallVoid("PauseContainer", ForContainer<agent::PauseContainerRequest>(container_id),
                  std::max(patience, request_timeout_));
}

Result<void> AgentClient::ResumeContainer(const std::string& container_id) {
  return CallVoid("ResumeContainer", ForContainer<agent::ResumeContainerRequest>(container_id));
}

Result<void> AgentClient::UpdateContainer(const agent::UpdateContainerRequest& request) {
  return CallVoid("UpdateContainer", request);
}

Result<agent::StatsContainerResponse> AgentClient::StatsContainer(const std::string& container_id) {
  return Call<agent::StatsContainerResponse>(
      "StatsContainer", ForContainer<agent::StatsContainerRequest>(container_id));
}

Result<agent::StatsContainerResponse> AgentClient::StatsContainer(const std::string& container_id,
                                                                  Deadline deadline) {
  return client_->Call<agent::StatsContainerResponse>(
      kAgentService, "StatsContainer", ForContainer<agent::StatsContainerRequest>(container_id),
      deadline);
}

Result<std::string> AgentClient::GetMetrics(Deadline deadline) {
  auto response = KATA_TRY(client_->Call<agent::Metrics>(kAgentService, "GetMetrics",
                                                         agent::GetMetricsRequest(), deadline));
  return std::move(*response.mutable_metrics());
}

Result<std::vector<guest::GuestProcess>> AgentClient::ListProcesses(
    const std::string& container_id) {
  const auto response = KATA_TRY(client_->Call<guest::ListProcessesResponse>(
      kGuestService, "ListProcesses", ForContainer<guest::ListProcessesRequest>(container_id),
      Deadline::After(request_timeout_)));
  return std::vector<guest::GuestProcess>(response.processes().begin(), response.processes().end());
}

void AgentClient::ListProcessFiles(
    const std::string& container_id,
    std::move_only_function<void(Result<std::vector<guest::GuestProcess>>)> done) {
  auto request = ForContainer<guest::ListProcessesRequest>(container_id);
  request.set_files(true);
  client_->CallAsync<guest::ListProcessesResponse>(
      kGuestService, "ListProcesses", request,
      Deadline::After(std::min<std::chrono::milliseconds>(request_timeout_, kLookTimeout)),
      [done = std::move(done)](Result<guest::ListProcessesResponse> response) mutable {
        if (!response) return done(std::unexpected(std::move(response).error()));
        done(std::vector<guest::GuestProcess>(response->processes().begin(),
                                              response->processes().end()));
      });
}

Result<Online> AgentClient::OnlineCpusAndMemory(uint32_t cpus, uint32_t plugged_mib) {
  guest::OnlineResourcesRequest request;
  request.set_cpus(cpus);
  request.set_plugged_bytes(uint64_t{plugged_mib} << 20);
  const auto online = client_->Call<guest::OnlineResourcesResponse>(
      kGuestService, "OnlineResources", request, Deadline::After(request_timeout_));
  if (online) {
    // A guest can say anything.
    return Online{.vcpus = std::min(online->cpus(), cpus),
                  .plugged_mib = static_cast<uint32_t>(
                      std::min<uint64_t>(online->plugged_bytes() >> 20, plugged_mib))};
  }
  if (online.error().code() != Code::kUnimplemented) return std::unexpected(online.error());
  agent::OnlineCPUMemRequest plain;
  plain.set_nb_cpus(cpus);
  KATA_TRY(CallVoid("OnlineCPUMem", plain));
  return Online{.vcpus = cpus, .plugged_mib = plugged_mib};
}

void AgentClient::WaitProcess(const ProcessName& process,
                              std::move_only_function<void(Result<int>)> done) {
  CallWaiting<agent::WaitProcessResponse>(
      kAgentService, "WaitProcess", ForProcess<agent::WaitProcessRequest>(process),
      [done = std::move(done)](Result<agent::WaitProcessResponse> response) mutable {
        if (!response) return done(std::unexpected(std::move(response).error()));
        done(response->status() & 0xff);
      });
}

void AgentClient::ReadStdout(const ProcessName& process,
                             std::move_only_function<void(Result<std::string>)> done) {
  ReadStream("ReadStdout", process, std::move(done));
}

void AgentClient::ReadStderr(const ProcessName& process,
                             std::move_only_function<void(Result<std::string>)> done) {
  ReadStream("ReadStderr", process, std::move(done));
}

void AgentClient::ReadStream(std::string_view method, const ProcessName& process,
                             std::move_only_function<void(Result<std::string>)> done) {
  auto request = ForProcess<agent::ReadStreamRequest>(process);
  request.set_len(kChunk);
  CallWaiting<agent::ReadStreamResponse>(
      kAgentService, method, request,
      [done = std::move(done)](Result<agent::ReadStreamResponse> response) mutable {
        done(Bounded(std::move(response)));
      });
}

void AgentClient::CloseOutput(std::string_view method, const ProcessName& process) {
  auto request = ForProcess<agent::ReadStreamRequest>(process);
  request.set_close(true);
  client_->CallAsync<agent::ReadStreamResponse>(kAgentService, method, request,
                                                Deadline::After(request_timeout_),
                                                [](Result<agent::ReadStreamResponse>) {});
}

void AgentClient::WriteStdin(const ProcessName& process, std::string data,
                             std::move_only_function<void(Result<void>)> done) {
  auto request = ForProcess<agent::WriteStreamRequest>(process);
  const size_t size = data.size();
  request.set_data(std::move(data));
  CallWaiting<agent::WriteStreamResponse>(
      kAgentService, "WriteStdin", request,
      [done = std::move(done), size](Result<agent::WriteStreamResponse> response) mutable {
        if (!response) return done(std::unexpected(std::move(response).error()));
        if (response->len() != size) return done(Fail(Code::kInternal, "short write to the guest"));
        done({});
      });
}

void AgentClient::CloseStdinAsync(const ProcessName& process) {
  client_->CallAsync<wellknown::Empty>(
      kAgentService, "CloseStdin", ForProcess<agent::CloseStdinRequest>(process),
      Deadline::After(request_timeout_), [](Result<wellknown::Empty>) {});
}

void AgentClient::WaitOom(std::move_only_function<void(Result<std::string>)> done) {
  CallWaiting<agent::OOMEvent>(kAgentService, "GetOOMEvent", agent::GetOOMEventRequest(),
                               [done = std::move(done)](Result<agent::OOMEvent> event) mutable {
                                 if (!event) return done(std::unexpected(std::move(event).error()));
                                 done(std::move(*event->mutable_container_id()));
                               });
}

}  // namespace kata::agent
