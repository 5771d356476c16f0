// SPDX-License-Identifier: Apache-2.0
#include "host/shim/load_config.h"

#include "base/log.h"

namespace kata::shim {

Result<config::Loaded> LoadConfig(const std::string& path) {
  config::Loaded loaded = KATA_TRY(config::Load(config::LoadOptions::OfThisProcess(path)));
  for (const std::string& warning : loaded.warnings) log::Warn(warning);
  log::Level level;
  if (log::ParseLevel(loaded.config.runtime.log_level, &level)) log::SetLevel(level);
  if (loaded.config.runtime.enable_debug) log::SetLevel(log::Level::kDebug);
  return loaded;
}

}  // namespace kata::shim
