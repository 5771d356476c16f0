// SPDX-License-Identifier: Apache-2.0
#include "host/shim/template_action.h"

#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/config/annotations.h"
#include "host/config/load.h"
#include "host/machine/template_build.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::shim {
namespace {

constexpr size_t kMaxInput = 1 << 20;
constexpr int kLowPriority = 10;

void Say(std::string_view text) {
  (void)sys::WriteAll(STDERR_FILENO, fmt::format("template: {}\n", text));
}

Result<factory::TemplateInfo> Build(const std::string& config_path) {
  auto config = KATA_TRY(config::Load(config::LoadOptions::OfThisProcess(config_path)));
  const std::string input =
      ::isatty(STDIN_FILENO) ? "" : KATA_TRY(sys::ReadToEnd(STDIN_FILENO, kMaxInput));
  const auto annotations = KATA_TRY(sandbox::ParseAnnotations(input));
  KATA_TRY(config::ApplyAnnotations(annotations, &config));
  const auto loop = KATA_TRY(sys::EventLoop::Create());
  std::thread carrier([&] { LogIfFailed(loop->Run()); });
  Rollback stop;
  stop.Add([&] {
    loop->Stop();
    carrier.join();
  });
  return sandbox::BuildTemplate(config, *loop, Say);
}

}  // namespace

int RunTemplate(const std::string& config_path) {
  // Those who start a container meanwhile come first.
  (void)::setpriority(PRIO_PROCESS, 0, kLowPriority);
  const auto built = Build(config_path);
  if (!built) {
    Say(built.error().message());
    return 1;
  }
  Say(fmt::format("{} holds {} of {} MiB", built->name, built->memory.bytes() >> 20,
                  built->memory_mib));
  return 0;
}

}  // namespace kata::shim
