// SPDX-License-Identifier: Apache-2.0
#include "host/shim/warm_action.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/load.h"
#include "host/machine/machine.h"
#include "host/shim/serving.h"
#include "host/shim/start.h"
#include "host/warm/protocol.h"
#include "sys/cgroups.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/program.h"
#include "sys/sockets.h"

namespace kata::shim {
namespace {

constexpr auto kPatience = std::chrono::seconds(2);

class WarmShim {
 public:
  WarmShim(const CommandLine& line, std::span<const char* const> arguments, sys::EventLoop& loop)
      : arguments_(arguments),
        config_path_(line.config),
        loop_(loop),
        control_(line.control_fd),
        machine_(std::make_unique<sandbox::Machine>(line.id, loop)) {}

  Result<void> Begin() {
    KATA_TRY(loop_.Add(control_.get(), EPOLLIN, [this](uint32_t) { OnControl(); }));
    std::thread([this] {
      auto prepared = Prepare();
      loop_.Post([this, prepared = std::move(prepared)] { OnPrepared(prepared); });
    }).detach();
    return {};
  }

 private:
  Result<void> Prepare() {
    const auto config = KATA_TRY(config::Load(config::LoadOptions::OfThisProcess(config_path_)));
    return machine_->Prepare(config, [this] {
      log::Error("the machine that waited has ended");
      EndLater();
    });
  }

  void OnPrepared(const Result<void>& prepared) {
    preparing_ = false;
    if (!prepared) {
      log::Error("no machine could be prepared", {{"error", prepared.error().message()}});
      loop_.Stop();
    } else if (ending_ || !sys::WriteAll(control_.get(), "r")) {
      End();
    }
  }

  void EndLater() {
    loop_.Post([this] { End(); });
  }

  // Without leavings.
  void End() {
    ending_ = true;
    if (preparing_) return;
    // A daemon that has it already, and cannot serve, leaves it to the end of this process.
    std::thread([this] {
      if (machine_) machine_->Stop();
      loop_.Stop();
    }).detach();
  }

  void OnControl() {
    auto received = sys::ReceiveWithFd(control_.get(), 1);
    loop_.Remove(control_.get());
    if (!received || received->data.empty() || !received->fd) return End();
    if (auto begun = Become(received->fd.get()); !begun) {
      log::Warn("the warm machine is not used", {{"error", begun.error().message()}});
      (void)sys::SendAll(received->fd.get(), warm::FormatRefusal(begun.error().message()),
                         Deadline::After(kPatience));
      End();
    }
  }

  // The daemon of the `start` at the other end of `caller`.
  Result<void> Become(int caller) {
    auto line = KATA_TRY(warm::ReadLine(caller, Deadline::After(kPatience)));
    const warm::TakeRequest request = KATA_TRY(warm::ParseTake(line.text));
    if (request.program != warm::IdentityOfProgram()) {
      return Fail(Code::kFailedPrecondition, "the asking shim is of another version");
    }
    if (!line.fd) return Fail(Code::kInvalidArgument, "no socket came with the request");
    std::vector<const char*> words;
    for (const std::string& word : request.argv) words.push_back(word.c_str());
    if (words.empty()) return Fail(Code::kInvalidArgument, "no arguments");
    const CommandLine parsed = KATA_TRY(ParseCommandLine(std::span(words).subspan(1)));
    KATA_TRY(TakeSurroundings(caller, request));
    KATA_TRY(sys::SendAll(caller, warm::FormatTaken(::getpid()), Deadline::After(kPatience)));
    const auto go = KATA_TRY(warm::ReadLine(caller, Deadline::After(kPatience)));
    if (go.text != warm::kGo) return Fail(Code::kInvalidArgument, "the asking shim says no go");
    DaemonArgs args = MakeDaemonArgs(parsed);
    args.listen_fd = line.fd.Release();
    Daemon::OpenLog(args);
    daemon_ = std::make_unique<Daemon>(args, loop_, std::move(machine_));
    return daemon_->Begin();
  }

  // What a process has from the one that starts it.
  Result<void> TakeSurroundings(int caller, const warm::TakeRequest& request) {
    if (::chdir(request.directory.c_str()) != 0) return FailErrno("chdir", request.directory);
    if (const auto who = sys::GetPeerCredentials(caller)) {
      if (auto home = sys::ReadCgroupDirs(who->pid)) machine_->UseCgroupsOf(*std::move(home));
    }
    ::clearenv();
    for (const std::string& entry : request.env) {
      const size_t equals = entry.find('=');
      if (equals == std::string::npos) continue;
      ::setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, 1);
    }
    if (request.oom_score_adj) machine_->SetOomScore(*request.oom_score_adj);
    sys::ShowArguments(arguments_, request.argv);
    return {};
  }

  const std::span<const char* const> arguments_;
  const std::string config_path_;
  sys::EventLoop& loop_;
  const sys::UniqueFd control_;
  std::unique_ptr<sandbox::Machine> machine_;
  std::unique_ptr<Daemon> daemon_;
  bool preparing_ = true;
  bool ending_ = false;
};

Result<void> Serve(const CommandLine& line, std::span<const char* const> arguments) {
  KATA_TRY(EnterOwnMountNamespace());
  const auto loop = KATA_TRY(sys::EventLoop::Create());
  WarmShim shim(line, arguments, *loop);
  KATA_TRY(shim.Begin());
  RunToTheEnd(*loop);
}

}  // namespace

int RunWarm(const CommandLine& line, std::span<const char* const> arguments) {
  PrepareProcess();
  log::SetCommonFields({{"sandbox", line.id}});
  LogIfFailed(Serve(line, arguments));
  return 1;
}

}  // namespace kata::shim
