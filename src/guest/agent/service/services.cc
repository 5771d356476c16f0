// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/service/services.h"

#include <array>
#include <string_view>

#include <fmt/format.h>

namespace kata::guest {
namespace {

struct Missing {
  const char* method;
  std::string_view reason;
};

constexpr std::string_view kNoMemAgent = "this agent has no memory agent";
constexpr std::string_view kNoSwap = "this agent does not swap";

constexpr std::array kMissing = {
    Missing{"GetDiagnosticData", "this agent keeps no diagnostic data"},
    Missing{"MemAgentMemcgSet", kNoMemAgent},
    Missing{"MemAgentCompactSet", kNoMemAgent},
    Missing{"AddSwap", kNoSwap},
    Missing{"AddSwapPath", kNoSwap},
    Missing{"SetPolicy", "this agent has no policy engine"},
};

}  // namespace

void RegisterServices(ttrpc::Server& server, Agent& agent) {
  RegisterSandboxMethods(server, agent);
  RegisterContainerMethods(server, agent);
  RegisterProcessMethods(server, agent);
  RegisterMachineMethods(server, agent);
  RegisterNetworkMethods(server, agent);
  for (const Missing& missing : kMissing) {
    const std::string message = fmt::format("{}: {}", missing.method, missing.reason);
    server.Handle(kAgentService, missing.method,
                  [message](ttrpc::CallContext, std::string_view, ttrpc::Responder responder) {
                    responder.Fail(Error(Code::kUnimplemented, message));
                  });
  }
}

}  // namespace kata::guest
