// SPDX-License-Identifier: Apache-2.0
//
// Methods about the containers' network.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "guest/agent/network/iptables.h"
#include "guest/agent/run_in_child.h"
#include "guest/agent/service/services.h"
#include "proto/guest.pb.h"
#include "routes/listener_messages.h"

namespace kata::guest {
namespace {

using ttrpc::CallContext;
using ttrpc::Responder;

// A device that the VMM has just plugged in takes a moment to appear.
void UpdateInterface(Agent& agent, agent::UpdateInterfaceRequest request, Responder responder) {
  const auto network = agent.network();
  if (!network) return responder.Fail(network.error());
  if (request.has_settings()) {
    if (auto set = (*network)->UpdateSettings(request.settings()); !set) {
      return responder.Fail(set.error());
    }
    if (!request.has_interface()) return responder.Reply(types::Interface());
  }
  const auto interface =
      std::make_shared<types::Interface>(std::move(*request.mutable_interface()));
  const auto shared = std::make_shared<Responder>(std::move(responder));
  agent.devices().Wait(
      [&agent, interface]() -> Result<bool> {
        return KATA_TRY(agent.network())->IsThere(*interface);
      },
      agent.config().hotplug_timeout,
      [&agent, interface, shared](Result<void> there) {
        if (!there) {
          return shared->Fail(std::move(there).error().Within("interface " + interface->name()));
        }
        const auto now = agent.network();
        if (!now) return shared->Fail(now.error());
        Answer(*shared, (*now)->Update(*interface));
      });
}

// Registers `handler(network, request)`, whose Result is the answer.
template <class Request, class Handler>
void HandleNetwork(ttrpc::Server& server, Agent& agent, const char* service, const char* method,
                   Handler handler) {
  server.Handle<Request>(
      service, method, [&agent, handler](CallContext, const Request& request, Responder responder) {
        const auto network = agent.network();
        if (!network) return responder.Fail(network.error());
        Answer(responder, handler(**network, request));
      });
}

// Does `work(iptables)` in a process of its own and answers with `answer(text)`.
void WithIpTables(Agent& agent, bool ipv6, Responder responder,
                  const std::function<Result<std::string>(const IpTables&)>& work,
                  void (*answer)(Responder& responder, std::string text)) {
  const auto network = agent.network();
  if (!network) return responder.Fail(network.error());
  const IpTables tables{.network_namespace = (*network)->fd(), .ipv6 = ipv6};
  const auto shared = std::make_shared<Responder>(std::move(responder));
  const auto begun = RunInChild(
      agent.loop(), [&] { return work(tables); },
      [shared, answer](Result<std::string> result) {
        if (!result) return shared->Fail(std::move(result).error());
        answer(*shared, *std::move(result));
      },
      {tables.network_namespace});
  if (!begun) shared->Fail(begun.error());
}

void RegisterIpTables(ttrpc::Server& server, Agent& agent) {
  server.Handle<agent::GetIPTablesRequest>(
      kAgentService, "GetIPTables",
      [&agent](CallContext, const agent::GetIPTablesRequest& request, Responder responder) {
        WithIpTables(
            agent, request.is_ipv6(), std::move(responder),
            [](const IpTables& tables) { return tables.Save(); },
            [](Responder& to, std::string text) {
              agent::GetIPTablesResponse response;
              response.set_data(std::move(text));
              to.Reply(response);
            });
      });
  server.Handle<agent::SetIPTablesRequest>(
      kAgentService, "SetIPTables",
      [&agent](CallContext, const agent::SetIPTablesRequest& request, Responder responder) {
        WithIpTables(
            agent, request.is_ipv6(), std::move(responder),
            [&request](const IpTables& tables) -> Result<std::string> {
              KATA_TRY(tables.Restore(request.data()));
              return std::string();
            },
            [](Responder& to, std::string) { to.Reply(agent::SetIPTablesResponse()); });
      });
}

void RegisterNames(ttrpc::Server& server, Agent& agent) {
  HandleNetwork<ListenForNamesRequest>(
      server, agent, kGuestService, "ListenForNames",
      [&agent](GuestNetwork& network, const ListenForNamesRequest& request) -> Result<void> {
        constexpr uint16_t kDnsPort = 53;
        if (agent.names().listening()) return {};
        if (const auto at = sys::IpAddress::Parse(request.address())) {
          agent.ports().LeaveOut(
              {.protocol = sys::Protocol::kUdp, .at = {.address = *at, .port = kDnsPort}});
        }
        return agent.names().Serve(KATA_TRY(network.BindLoopbackUdp(request.address(), kDnsPort)));
      });
  server.Handle<NextNameRequest>(
      kGuestService, "NextName",
      [&agent](CallContext, const NextNameRequest&, Responder responder) {
        const auto call = agent.waiting_calls().Admit(std::move(responder));
        if (!call) return;
        agent.names().Next([call] { return call->wanted(); },
                           [call](const DnsMessage& question) { call->Reply(question); });
      });
  HandleNow<DnsMessage>(server, kGuestService, "AnswerName",
                        [&agent](const DnsMessage& answer) -> Result<void> {
                          agent.names().Answer(answer);
                          return {};
                        });
}

void RegisterPorts(ttrpc::Server& server, Agent& agent) {
  server.Handle<Listeners>(kGuestService, "NextListeners",
                           [&agent](CallContext, const Listeners& known, Responder responder) {
                             const auto network = agent.network();
                             if (!network) return responder.Fail(network.error());
                             if (auto begun = agent.ports().Begin((*network)->fd()); !begun) {
                               return responder.Fail(begun.error());
                             }
                             const auto call = agent.waiting_calls().Admit(std::move(responder));
                             if (!call) return;
                             agent.ports().Next(
                                 routes::ReadListeners(known), [call] { return call->wanted(); },
                                 [call](const std::vector<sys::ReachedListener>& now) {
                                   call->Reply(routes::WriteListeners(now));
                                 });
                           });
  HandleNetwork<KeepListenersRequest>(
      server, agent, kGuestService, "KeepListeners",
      [&agent](GuestNetwork& network, const KeepListenersRequest& request) -> Result<void> {
        KATA_TRY(agent.ports().Begin(network.fd()));
        agent.ports().KeepForHost(routes::ReadListeners(request.listeners()));
        return {};
      });
}

void RegisterConnections(ttrpc::Server& server, Agent& agent) {
  server.Handle<OpenConnectionRequest>(
      kGuestService, "OpenConnection",
      [&agent](CallContext, const OpenConnectionRequest& request, Responder responder) {
        if (auto thawed = agent.freezer().CheckThawed(); !thawed) {
          return responder.Fail(thawed.error());
        }
        if (request.port() == 0 || request.port() > UINT16_MAX) {
          return responder.Fail(Error(Code::kInvalidArgument, "no such port"));
        }
        agent.connections().Open(
            request.id(), static_cast<uint16_t>(request.port()), request.ipv6(),
            [&agent](int family) -> Result<sys::UniqueFd> {
              return KATA_TRY(agent.network())->MakeTcpSocket(family);
            },
            [responder = std::move(responder)](const Result<void>& opened) mutable {
              Answer(responder, opened);
            });
      });
  server.Handle<ReadConnectionRequest>(
      kGuestService, "ReadConnection",
      [&agent](CallContext, const ReadConnectionRequest& request, Responder responder) {
        const auto call = agent.waiting_calls().Admit(std::move(responder));
        if (!call) return;
        agent.connections().Read(
            request.id(), request.len(), [call] { return call->wanted(); },
            [call](Result<std::string> data) {
              if (!data) return call->Fail(std::move(data).error());
              ConnectionData reply;
              reply.set_data(*std::move(data));
              call->Reply(reply);
            });
      });
  server.Handle<ConnectionData>(
      kGuestService, "WriteConnection",
      [&agent](CallContext, ConnectionData request, Responder responder) {
        agent.connections().Write(
            request.id(), std::move(*request.mutable_data()),
            [responder = std::move(responder)](const Result<void>& written) mutable {
              Answer(responder, written);
            });
      });
  HandleNow<CloseConnectionRequest>(
      server, kGuestService, "CloseConnection",
      [&agent](const CloseConnectionRequest& request) -> Result<void> {
        agent.connections().Close(request.id());
        return {};
      });
}

}  // namespace

void RegisterNetworkMethods(ttrpc::Server& server, Agent& agent) {
  server.Handle<agent::UpdateInterfaceRequest>(
      kAgentService, "UpdateInterface",
      [&agent](CallContext, agent::UpdateInterfaceRequest request, Responder responder) {
        UpdateInterface(agent, std::move(request), std::move(responder));
      });
  HandleNetwork<agent::ListInterfacesRequest>(
      server, agent, kAgentService, "ListInterfaces",
      [](GuestNetwork& network, const agent::ListInterfacesRequest&) {
        return network.Interfaces();
      });
  HandleNetwork<agent::UpdateRoutesRequest>(
      server, agent, kAgentService, "UpdateRoutes",
      [](GuestNetwork& network, const agent::UpdateRoutesRequest& request) {
        return network.UpdateRoutes(request.routes());
      });
  HandleNetwork<agent::ListRoutesRequest>(
      server, agent, kAgentService, "ListRoutes",
      [](GuestNetwork& network, const agent::ListRoutesRequest&) { return network.Routes(); });
  HandleNetwork<agent::AddARPNeighborsRequest>(
      server, agent, kAgentService, "AddARPNeighbors",
      [](GuestNetwork& network, const agent::AddARPNeighborsRequest& request) {
        return network.AddNeighbors(request.neighbors());
      });
  HandleNetwork<ReleaseInterfaceRequest>(
      server, agent, kGuestService, "ReleaseInterface",
      [](GuestNetwork& network, const ReleaseInterfaceRequest& request) {
        return network.Release(request.permanent_hw_addr());
      });
  RegisterIpTables(server, agent);
  RegisterNames(server, agent);
  RegisterPorts(server, agent);
  RegisterConnections(server, agent);
}

}  // namespace kata::guest
