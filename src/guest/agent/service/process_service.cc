// SPDX-License-Identifier: Apache-2.0
//
// Methods about one process: its signals, its end, its streams.
#include <signal.h>

#include <memory>
#include <string>

#include <fmt/format.h>

#include "guest/agent/service/services.h"
#include "proto/guest.pb.h"

namespace kata::guest {
namespace {

using ttrpc::CallContext;
using ttrpc::Responder;

Result<int> CheckSignal(uint32_t signal) {
  if (signal >= NSIG) return Fail(Code::kInvalidArgument, fmt::format("signal {}", signal));
  return static_cast<int>(signal);
}

Result<void> SignalProcess(Agent& agent, const agent::SignalProcessRequest& request) {
  const int signal = KATA_TRY(CheckSignal(request.signal()));
  const auto process =
      KATA_TRY(agent.containers().FindProcess(request.container_id(), request.exec_id()));
  if (request.exec_id().empty() && signal == SIGKILL) {
    const auto entry = KATA_TRY(agent.containers().Find(request.container_id()));
    return entry->container->KillAll();
  }
  return process->Signal(signal);
}

Result<void> SignalAll(Agent& agent, const SignalAllRequest& request) {
  const int signal = KATA_TRY(CheckSignal(request.signal()));
  const auto entry = KATA_TRY(agent.containers().Find(request.container_id()));
  if (signal == SIGKILL) return entry->container->KillAll();
  return entry->container->SignalAll(signal);
}

void ReplyStatus(sys::ExitStatus status, Responder& responder) {
  agent::WaitProcessResponse response;
  response.set_status(status.ShellCode());
  responder.Reply(response);
}

void WaitProcess(Agent& agent, const agent::WaitProcessRequest& request, Responder responder) {
  const auto process = agent.containers().FindProcess(request.container_id(), request.exec_id());
  if (!process) return responder.Fail(process.error());
  const auto call = agent.waiting_calls().Admit(std::move(responder));
  if (!call) return;
  const auto entry = agent.containers().FindAny(request.container_id());
  Process& waited = **process;
  if (*process == entry->init) {
    // Its status is kept until the container is removed.
    return waited.WhenExited([&agent, entry, call](sys::ExitStatus status) {
      agent.SettleEnd(entry, [status, call] { ReplyStatus(status, *call); });
    });
  }
  waited.WhenExited([entry, process = *process, call](sys::ExitStatus status) mutable {
    const bool told = call->wanted();
    ReplyStatus(status, *call);
    if (!told) return;
    process->collected = true;
    ContainerTable::Tidy(*entry);
  });
}

void WriteStdin(Agent& agent, agent::WriteStreamRequest request, Responder responder) {
  const auto process = agent.containers().FindProcess(request.container_id(), request.exec_id());
  if (!process) return responder.Fail(process.error());
  InputStream& in = (*process)->in();
  if (request.data().empty()) {
    in.Close();
    return responder.Reply(agent::WriteStreamResponse());
  }
  if (!agent.freezer().CheckThawed()) return responder.Fail(WaitingCalls::Aborted());
  in.Write(std::move(*request.mutable_data()),
           [responder = std::move(responder)](Result<size_t> written) mutable {
             if (!written) return responder.Fail(written.error());
             agent::WriteStreamResponse response;
             response.set_len(static_cast<uint32_t>(*written));
             responder.Reply(response);
           });
}

void ReadOutput(Agent& agent, OutputStream& (Process::*stream)(),
                const agent::ReadStreamRequest& request, Responder responder) {
  const auto process = agent.containers().FindOutput(request.container_id(), request.exec_id());
  if (!process) return responder.Fail(process.error());
  const auto entry = agent.containers().FindAny(request.container_id());
  Process& read = **process;
  if (request.close()) {
    (read.*stream)().Abandon();
    return responder.Reply(agent::ReadStreamResponse());
  }
  const auto call = agent.waiting_calls().Admit(std::move(responder));
  if (!call) return;
  (read.*stream)().Read(
      request.len(), [call] { return call->wanted(); },
      [call](Result<std::string> data) {
        if (!data) return call->Fail(data.error());
        agent::ReadStreamResponse response;
        response.set_data(std::move(*data));
        call->Reply(response);
      });
  ContainerTable::Tidy(*entry);
}

Result<void> CloseStdin(Agent& agent, const agent::CloseStdinRequest& request) {
  const auto process =
      KATA_TRY(agent.containers().FindProcess(request.container_id(), request.exec_id()));
  process->in().Close();
  return {};
}

Result<void> ResizeTerminal(Agent& agent, const agent::TtyWinResizeRequest& request) {
  const auto process =
      KATA_TRY(agent.containers().FindProcess(request.container_id(), request.exec_id()));
  return process->Resize(request.row(), request.column());
}

}  // namespace

void RegisterProcessMethods(ttrpc::Server& server, Agent& agent) {
  HandleNow<agent::SignalProcessRequest>(server, kAgentService, "SignalProcess",
                                         [&agent](const agent::SignalProcessRequest& request) {
                                           return SignalProcess(agent, request);
                                         });
  HandleNow<SignalAllRequest>(
      server, kGuestService, "SignalAll",
      [&agent](const SignalAllRequest& request) { return SignalAll(agent, request); });
  server.Handle<agent::WaitProcessRequest>(
      kAgentService, "WaitProcess",
      [&agent](CallContext, const agent::WaitProcessRequest& request, Responder responder) {
        WaitProcess(agent, request, std::move(responder));
      });
  server.Handle<agent::WriteStreamRequest>(
      kAgentService, "WriteStdin",
      [&agent](CallContext, agent::WriteStreamRequest request, Responder responder) {
        WriteStdin(agent, std::move(request), std::move(responder));
      });
  server.Handle<agent::ReadStreamRequest>(
      kAgentService, "ReadStdout",
      [&agent](CallContext, const agent::ReadStreamRequest& request, Responder responder) {
        ReadOutput(agent, &Process::out, request, std::move(responder));
      });
  server.Handle<agent::ReadStreamRequest>(
      kAgentService, "ReadStderr",
      [&agent](CallContext, const agent::ReadStreamRequest& request, Responder responder) {
        ReadOutput(agent, &Process::err, request, std::move(responder));
      });
  HandleNow<agent::CloseStdinRequest>(
      server, kAgentService, "CloseStdin",
      [&agent](const agent::CloseStdinRequest& request) { return CloseStdin(agent, request); });
  HandleNow<agent::TtyWinResizeRequest>(server, kAgentService, "TtyWinResize",
                                        [&agent](const agent::TtyWinResizeRequest& request) {
                                          return ResizeTerminal(agent, request);
                                        });
}

}  // namespace kata::guest
