// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/service/services.h - the methods of the agent, each in the file of its subject.
//
// Together they cover "grpc.AgentService" and "grpc.Health" of upstream's protocol and our own
// "kata.cpp.v1.Guest". Methods that this agent does not have answer kUnimplemented with the reason.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/result.h"
#include "guest/agent/agent.h"
#include "ttrpc/server.h"

namespace kata::guest {

inline constexpr const char* kAgentService = "grpc.AgentService";
inline constexpr const char* kHealthService = "grpc.Health";
inline constexpr const char* kGuestService = "kata.cpp.v1.Guest";

// All of the groups below. `agent` must live as long as `server`.
void RegisterServices(ttrpc::Server& server, Agent& agent);

void RegisterSandboxMethods(ttrpc::Server& server, Agent& agent);
void RegisterContainerMethods(ttrpc::Server& server, Agent& agent);
void RegisterProcessMethods(ttrpc::Server& server, Agent& agent);
void RegisterMachineMethods(ttrpc::Server& server, Agent& agent);
void RegisterNetworkMethods(ttrpc::Server& server, Agent& agent);

// An answer without fields, or the error.
inline void Answer(ttrpc::Responder& responder, const Result<void>& result) {
  if (result) return responder.ReplyEmpty();
  responder.Fail(result.error());
}

// An answer with a message, or the error.
template <class Message>
void Answer(ttrpc::Responder& responder, const Result<Message>& result) {
  if (result) return responder.Reply(*result);
  responder.Fail(result.error());
}

// The same for what is answered later.
inline Agent::Done AnswerLater(ttrpc::Responder responder) {
  return [responder = std::move(responder)](const Result<void>& result) mutable {
    Answer(responder, result);
  };
}

// Registers `handler(request)`, whose Result is the answer.
template <class Request, class Handler>
void HandleNow(ttrpc::Server& server, const char* service, const char* method, Handler handler) {
  server.Handle<Request>(service, method,
                         [handler = std::move(handler)](ttrpc::CallContext, Request request,
                                                        ttrpc::Responder responder) {
                           Answer(responder, handler(std::move(request)));
                         });
}

}  // namespace kata::guest
