// SPDX-License-Identifier: Apache-2.0
#include "host/shim/layers_action.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "host/config/load.h"
#include "host/factory/layer_build.h"
#include "host/machine/background.h"
#include "sys/fd.h"

namespace kata::shim {
namespace {

constexpr size_t kMaxDirectories = 1 << 20;
constexpr int kLowestPriority = 19;
// Of linux/ioprio.h, which is not C++ everywhere: this process, and disk time that nobody else
// wants.
constexpr int kOfProcess = 1;
constexpr int kIdle = 3 << 13;

void Tell(std::string_view text) {
  (void)sys::WriteAll(STDERR_FILENO, fmt::format("layers: {}\n", text));
}

// How many could not be made.
Result<int> BuildAll(const std::string& config_path) {
  const auto loaded = KATA_TRY(config::Load(config::LoadOptions::OfThisProcess(config_path)));
  const config::FactoryConfig& config = loaded.config.factory;
  const factory::LayerStore store(config.layers_path, config.layer_cache_size_mb);
  const std::string input = KATA_TRY(sys::ReadToEnd(STDIN_FILENO, kMaxDirectories));
  int failed = 0;
  for (const std::string& directory : KATA_TRY(sandbox::ParseDirectories(input))) {
    const auto built = factory::BuildLayer(store, directory, Tell);
    if (built) {
      Tell(fmt::format("{} holds {} MiB", built->info.name, built->info.image_bytes >> 20));
    } else {
      Tell(built.error().message());
      ++failed;
    }
  }
  return failed;
}

}  // namespace

int RunLayers(const std::string& config_path) {
  // Those who start a container meanwhile come first.
  (void)::setpriority(PRIO_PROCESS, 0, kLowestPriority);
  (void)::syscall(SYS_ioprio_set, kOfProcess, 0, kIdle);
  const auto failed = BuildAll(config_path);
  if (!failed) Tell(failed.error().message());
  return failed && *failed == 0 ? 0 : 1;
}

}  // namespace kata::shim
