// SPDX-License-Identifier: Apache-2.0
//
// host/shim/answer.h - answering calls whose work may block: it runs on a pool's thread, which has
// the duty to answer. Refusals are logged here, once.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/result.h"
#include "sys/worker_pool.h"
#include "ttrpc/server.h"

namespace kata::shim {

template <class Response>
void Respond(const std::string& method, Result<Response> response, ttrpc::Responder& responder) {
  if (response) return responder.Reply(*response);
  log::Info("call refused", {{"method", method},
                             {"code", CodeName(response.error().code())},
                             {"error", response.error().message()}});
  responder.Fail(std::move(response).error());
}

// `call` may ask whether its answer is still wanted.
template <class Response>
void RunCall(sys::WorkerPool& pool, const std::string& method, ttrpc::Responder responder,
             std::move_only_function<Result<Response>(const ttrpc::Responder&)> call) {
  pool.Run([method, responder = std::move(responder), call = std::move(call)]() mutable {
    Result<Response> response = call(responder);
    Respond(method, std::move(response), responder);
  });
}

// Has `server` answer a method so. `call` outlives the server's last call.
template <class Request, class Response>
void ServeOn(sys::WorkerPool& pool, ttrpc::Server& server, const std::string& service,
             const std::string& method,
             std::function<Result<Response>(const Request&, const ttrpc::Responder&)> call) {
  server.Handle<Request>(
      service, method,
      [call = std::move(call), method, &pool](ttrpc::CallContext, Request request,
                                              ttrpc::Responder responder) {
        RunCall<Response>(pool, method, std::move(responder),
                          [call, request = std::move(request)](const ttrpc::Responder& answer) {
                            return call(request, answer);
                          });
      });
}

}  // namespace kata::shim
