// SPDX-License-Identifier: Apache-2.0
#include "host/cli/command.h"

#include <unistd.h>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/fd.h"

namespace kata::cli {

Result<config::Loaded> LoadConfig(const Globals& globals) {
  config::Loaded loaded =
      KATA_TRY(config::Load(config::LoadOptions::OfThisProcess(globals.config)));
  for (const std::string& warning : loaded.warnings) log::Warn(warning);
  return loaded;
}

int Print(std::string_view text) {
  const auto written = sys::WriteAll(STDOUT_FILENO, text);
  return written ? 0 : PrintError(written.error());
}

int PrintError(const Error& error) {
  (void)sys::WriteAll(STDERR_FILENO, fmt::format("kata-runtime: {}\n", error.message()));
  return 1;
}

}  // namespace kata::cli
