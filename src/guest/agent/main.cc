// SPDX-License-Identifier: Apache-2.0
//
// kata-agent: the first process of the guest, and the host's hand in it; called as modprobe, the
// program that the kernel starts when it wants a module.
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/version.h"
#include "guest/agent/agent.h"
#include "guest/agent/channel.h"
#include "guest/agent/config.h"
#include "guest/agent/init.h"
#include "guest/agent/modules/module_loader.h"
#include "guest/agent/reaper.h"
#include "guest/agent/service/services.h"
#include "sys/event_loop.h"
#include "sys/files.h"
#include "ttrpc/server.h"

namespace kata::guest {
namespace {

// Duties of the guest's first process. Returns false if the guest is of no use.
bool BecomeInit() {
  const auto mounted = MountBasics();
  // The console may be one of its drivers' devices.
  const std::string missing_drivers = mounted ? LoadBootModules() : std::string();
  OpenStandardStreams();
  if (!mounted) {
    log::Error("cannot start the guest", {{"error", mounted.error().message()}});
    return false;
  }
  if (!mounted->empty()) log::Info("optional mounts are missing", {{"error", *mounted}});
  if (!missing_drivers.empty()) {
    log::Warn("some kernel modules could not be loaded", {{"error", missing_drivers}});
  }
  if (const std::string notes = ApplyDefaults(); !notes.empty()) {
    log::Warn("some defaults could not be set", {{"error", notes}});
  }
  return true;
}

Config ReadConfig() {
  constexpr size_t kMaxCommandLine = 65536;
  Config config = ParseCommandLine(sys::ReadFile("/proc/cmdline", kMaxCommandLine).value_or(""));
  ApplyEnvironment(&config);
  log::SetLevel(config.log_level);
  for (const std::string& warning : config.warnings) log::Warn(warning);
  return config;
}

long UptimeMillis() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// Serves until told to stop.
Result<void> Serve(Config config) {
  const std::string address = config.server_addr;
  const auto loop = KATA_TRY(sys::EventLoop::Create());
  Agent agent(*loop, std::move(config), [&loop] { loop->Stop(); });
  const auto reaper = KATA_TRY(Reaper::Create(
      *loop, [&agent](pid_t pid, sys::ExitStatus status) { agent.OnChildExit(pid, status); },
      [&agent] { agent.StopSoon(); }));
  ttrpc::Server server(*loop);
  RegisterServices(server, agent);
  const auto channel = KATA_TRY(Channel::Open(*loop, server, address));
  log::Info("agent ready", {{"version", kVersion}, {"uptime_ms", UptimeMillis()}});
  return loop->Run();
}

int Main(int argc, char** argv) {
  if (IsModprobe(argc, argv)) return ModprobeMain(argc, argv);
  if (argc > 1 && std::string_view(argv[1]) == "--version") {
    std::printf("kata-agent %s\n", kVersion);
    return EXIT_SUCCESS;
  }
  const bool init = Agent::IsInit();
  if (init && !BecomeInit()) {
    PowerOff();
    return EXIT_FAILURE;
  }
  const Result<void> served = Serve(ReadConfig());
  if (!served) log::Error("agent failed", {{"error", served.error().message()}});
  // The guest is nothing without its agent: off, so that the host learns of it at once.
  if (init) PowerOff();
  return served ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace kata::guest

int main(int argc, char** argv) { return kata::guest::Main(argc, argv); }
