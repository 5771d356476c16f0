// SPDX-License-Identifier: Apache-2.0
//
// kata-factory: the service that keeps machines ready for shims.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "host/config/load.h"
#include "host/help/tree.h"
#include "host/record/cleanup.h"
#include "host/record/record.h"
#include "host/warm/pool.h"
#include "host/warm/protocol.h"
#include "sys/event_loop.h"
#include "sys/files.h"
#include "sys/program.h"
#include "sys/sockets.h"

namespace kata::warm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kPatience = milliseconds(1000);
constexpr auto kFarewell = seconds(10);
constexpr char kShimProgram[] = "containerd-shim-kata-v2";
constexpr const char* kNamespaces[] = {"mnt", "pid", "user", "cgroup"};

std::string LinkTarget(const std::string& path) {
  char target[256];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  return n > 0 ? std::string(target, static_cast<size_t>(n)) : "";
}

// A shim that lives elsewhere sees other files than the asking one.
bool LivesHere(pid_t pid) {
  for (const char* kind : kNamespaces) {
    const std::string theirs = LinkTarget(fmt::format("/proc/{}/ns/{}", pid, kind));
    if (theirs.empty() || theirs != LinkTarget(fmt::format("/proc/self/ns/{}", kind))) return false;
  }
  return true;
}

void CleanUp(const std::string& name) {
  const auto record = sandbox::LoadRecord(name);
  if (!record) return;
  for (const sandbox::ProcessEntry& process : record->processes) {
    if (process.role == sandbox::ProcessRole::kShim && sandbox::IsAlive(process)) return;
  }
  LogIfFailed(sandbox::Cleanup(*record, Deadline::After(seconds(5))));
}

// What warm shims left that were killed when no service ran.
void CleanUpAll() {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(sandbox::kRecordsRoot), ::closedir);
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (std::string_view(entry->d_name).starts_with("warm-")) CleanUp(entry->d_name);
  }
}

// The socket, unless a service listens there already.
Result<sys::UniqueFd> Listen(const std::string& path) {
  KATA_TRY(sys::MakeDirs(path.substr(0, path.rfind('/')), 0711));
  auto listener = sys::ListenUnix(path, 0600);
  if (listener || listener.error().code() != Code::kAlreadyExists) return listener;
  if (sys::ConnectUnix(path, Deadline::After(kPatience))) {
    return Fail(Code::kAlreadyExists, fmt::format("a service listens on \"{}\" already", path));
  }
  KATA_TRY(sys::RemoveFile(path));
  return sys::ListenUnix(path, 0600);
}

class Service {
 public:
  Service(sys::EventLoop& loop, PoolOptions options)
      : loop_(loop), pool_(loop, std::move(options), [this](const std::string& name) {
          CleanUp(name);
          if (ending_ && pool_.empty()) loop_.Stop();
        }) {}

  Result<void> Begin(int listener, int signals) {
    KATA_TRY(loop_.Add(listener, EPOLLIN, [this, listener](uint32_t) { OnCaller(listener); }));
    KATA_TRY(loop_.Add(signals, EPOLLIN, [this, signals](uint32_t) { OnSignal(signals); }));
    pool_.Fill();
    return {};
  }

 private:
  void OnCaller(int listener) {
    auto caller = sys::Accept(listener);
    if (!caller) return;
    const auto who = sys::GetPeerCredentials(caller->get());
    if (!who || who->uid != ::geteuid()) return;
    // A caller that says nothing at once is none.
    if (!sys::WaitFor(caller->get(), POLLIN, Deadline::After(kPatience))) return;
    char begin[kTakePrefix.size()];
    const ssize_t n = ::recv(caller->get(), begin, sizeof begin, MSG_PEEK);
    if (n == static_cast<ssize_t>(sizeof begin) &&
        std::string_view(begin, sizeof begin) == kTakePrefix) {
      if (LivesHere(who->pid)) pool_.Give(caller->get());
      return;
    }
    const auto line = ReadLine(caller->get(), Deadline::After(kPatience));
    if (!line) return;
    std::string answer = "{\"error\":\"unknown request\"}\n";
    if (line->text.starts_with("{\"status\"")) answer = pool_.Status();
    if (line->text.starts_with("{\"drop\"")) {
      pool_.Drop();
      answer = "{}\n";
    }
    (void)sys::SendAll(caller->get(), answer, Deadline::After(kPatience));
  }

  void OnSignal(int signals) {
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo == SIGHUP) return pool_.Drop();
    ending_ = true;
    pool_.Close();
    if (pool_.empty()) return loop_.Stop();
    loop_.RunAfter(kFarewell, [this] { loop_.Stop(); });
  }

  sys::EventLoop& loop_;
  bool ending_ = false;
  Pool pool_;
};

Result<void> Serve(const std::string& config_path, int64_t count) {
  const auto config = KATA_TRY(config::Load(config::LoadOptions::OfThisProcess(config_path)));
  const config::FactoryConfig& factory = config.config.factory;
  PoolOptions options{.program = KATA_TRY(sys::FindNeighbour(kShimProgram))};
  if (!config.files.empty()) options.config_path = config.files[0];
  options.wanted = static_cast<size_t>(count >= 0 ? count : factory.vm_cache_number);
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const sys::UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!signals) return FailErrno("signalfd");
  const sys::UniqueFd listener = KATA_TRY(Listen(factory.vm_cache_endpoint));
  CleanUpAll();
  const auto loop = KATA_TRY(sys::EventLoop::Create());
  Service service(*loop, options);
  KATA_TRY(service.Begin(listener.get(), signals.get()));
  log::Info("kata-factory serves",
            {{"socket", factory.vm_cache_endpoint}, {"machines", std::to_string(options.wanted)}});
  auto ended = loop->Run();
  LogIfFailed(sys::RemoveFile(factory.vm_cache_endpoint));
  return ended;
}

int Main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  std::string config;
  int64_t count = -1;
  CLI::App app{"Keeps virtual machines ready, so that containers start in them at once."};
  app.add_option("--config", config, "configuration.toml to read instead of the installed one")
      ->type_name("FILE");
  app.add_option("--count", count, "machines to keep ready, instead of vm_cache_number")
      ->type_name("N");
  app.footer(
      "\nExamples:\n"
      "  kata-factory                 serve as configuration.toml says\n"
      "  kata-factory --count 4       with four machines\n"
      "  kata-runtime factory status  what is ready\n"
      "\nSIGHUP replaces the machines that wait. Without this service containers start from the\n"
      "template, or boot.");
  app.name("kata-factory");
  if (argc == 2 && std::string_view(argv[1]) == help::kDumpWord) {
    return sys::WriteAll(STDOUT_FILENO, help::RenderJson(help::ReadApp(app))) ? 0 : 1;
  }
  CLI11_PARSE(app, argc, argv);
  const auto served = Serve(config, count);
  if (served) return 0;
  (void)sys::WriteAll(STDERR_FILENO, fmt::format("kata-factory: {}\n", served.error().message()));
  return 1;
}

}  // namespace
}  // namespace kata::warm

int main(int argc, char** argv) { return kata::warm::Main(argc, argv); }
