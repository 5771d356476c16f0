// SPDX-License-Identifier: Apache-2.0
//
// Processes with a stand-in on the host.
#include <csignal>
#include <utility>

#include "base/log.h"
#include "host/sandbox/proc_tree.h"
#include "host/sandbox/sandbox.h"

namespace kata::sandbox {

void Sandbox::FollowStandIn(const std::string& container_id,
                            const std::shared_ptr<Process>& process) {
  if (!process->io().has_stand_in() || !observer_.on_stand_in) return;
  const std::string exec_id = process->exec_id();
  process->io().WatchStandIn([this, container_id, exec_id](const stdio::StandInEvent& event,
                                                           std::function<void()> handled) {
    observer_.on_stand_in(container_id, exec_id, event, std::move(handled));
  });
  process->OnExit(
      [this, container_id, exec_id, io = process->io().shared_from_this()](const ExitInfo& exit) {
        io->EndStandIn(exit.status, [this, container_id, exec_id] {
          if (!exec_id.empty()) observer_.on_stand_in_end(container_id, exec_id);
        });
      });
}

void Sandbox::ShowProcesses(const std::string& container_id, ProcessIo& io, Container& container) {
  sys::UniqueFd device = io.TakeProc();
  if (!device) return;
  const auto server =
      std::make_shared<sys::FuseServer>(loop_, std::move(device), [this, container_id](auto done) {
        if (!machine_.alive()) return done(nullptr);
        machine_.agent()->ListProcessFiles(
            container_id,
            [done = std::move(done)](Result<std::vector<guest::GuestProcess>> processes) mutable {
              done(processes ? MakeProcTree(*processes) : nullptr);
            });
      });
  // The loop's thread owns it, whoever lets go of the container.
  container.SetProc({server.get(), [this, server](sys::FuseServer*) {
                       loop_.Post([server] { server->Stop(); });
                     }});
  loop_.Post([server] { server->Start(); });
}

void Sandbox::HandleStandIn(const std::string& container_id, const std::string& exec_id,
                            const stdio::StandInEvent& event, std::function<void()> handled) {
  if (const auto process = FindProcess(container_id, exec_id)) {
    // Until it has been started the guest does not know whom a signal is for. A start may take as
    // long as the guest likes: no thread waits for it.
    if ((*process)->Defer([this, container_id, exec_id, event, handled] {
          observer_.on_stand_in(container_id, exec_id, event, handled);
        })) {
      return;
    }
    ObeyLine(container_id, **process, event);
  }
  handled();
}

void Sandbox::ObeyLine(const std::string& container_id, Process& process,
                       const stdio::StandInEvent& event) {
  using Kind = stdio::StandInEvent::Kind;
  const std::string& exec_id = process.exec_id();
  if (process.ended()) return;
  if (event.kind == Kind::kResize) {
    return LogIfFailed(ResizeTerminal(container_id, exec_id, event.rows, event.columns));
  }
  if (!exec_id.empty() && process.state() == ProcessState::kCreated) {
    // The guest does not know the process yet.
    if (event.kind == Kind::kHangup) (void)Delete(container_id, exec_id);
    return;
  }
  const int signal = event.kind == Kind::kHangup ? SIGKILL : event.signal;
  const auto killed = Kill(container_id, exec_id, static_cast<uint32_t>(signal), false);
  // It may have ended meanwhile.
  if (!killed && killed.error().code() != Code::kNotFound) LogIfFailed(killed);
}

}  // namespace kata::sandbox
