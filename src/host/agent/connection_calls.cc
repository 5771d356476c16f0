// SPDX-License-Identifier: Apache-2.0
//
// Calls about connections to the containers' loopback.
#include <utility>

#include "host/agent/agent_client.h"
#include "proto/wellknown.pb.h"

namespace kata::agent {
namespace {

constexpr uint32_t kConnectionChunk = 64 << 10;

}  // namespace

void AgentClient::OpenConnection(uint64_t id, uint16_t port, bool ipv6,
                                 std::move_only_function<void(Result<void>)> done) {
  guest::OpenConnectionRequest request;
  request.set_id(id);
  request.set_port(port);
  request.set_ipv6(ipv6);
  client_->CallAsync<wellknown::Empty>(
      kGuestService, "OpenConnection", request, Deadline::After(request_timeout_),
      [done = std::move(done)](Result<wellknown::Empty> opened) mutable {
        if (!opened) return done(std::unexpected(std::move(opened).error()));
        done({});
      });
}

void AgentClient::CloseConnectionAsync(uint64_t id) {
  guest::CloseConnectionRequest request;
  request.set_id(id);
  client_->CallAsync<wellknown::Empty>(kGuestService, "CloseConnection", request,
                                       Deadline::After(request_timeout_),
                                       [](const Result<wellknown::Empty>&) {});
}

void AgentClient::ReadConnection(uint64_t id,
                                 std::move_only_function<void(Result<std::string>)> done) {
  guest::ReadConnectionRequest request;
  request.set_id(id);
  request.set_len(kConnectionChunk);
  waiting_->Call(std::string(kGuestService), "ReadConnection", request.SerializeAsString(),
                 [done = std::move(done)](Result<std::string> payload) mutable {
                   if (!payload) return done(std::unexpected(std::move(payload).error()));
                   guest::ConnectionData data;
                   if (!data.ParseFromString(*payload) || data.data().size() > kConnectionChunk) {
                     return done(Fail(Code::kInternal, "ReadConnection: no such answer"));
                   }
                   done(std::move(*data.mutable_data()));
                 });
}

void AgentClient::WriteConnection(uint64_t id, std::string data,
                                  std::move_only_function<void(Result<void>)> done) {
  guest::ConnectionData request;
  request.set_id(id);
  request.set_data(std::move(data));
  waiting_->Call(std::string(kGuestService), "WriteConnection", request.SerializeAsString(),
                 [done = std::move(done)](Result<std::string> payload) mutable {
                   if (!payload) return done(std::unexpected(std::move(payload).error()));
                   done({});
                 });
}

}  // namespace kata::agent
