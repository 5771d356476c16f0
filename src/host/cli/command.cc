// SPDX-License-Identifier: Apache-2.0
#include "host/cli/command.h"

#include <unistd.h>

#include <ctime>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

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

int PrintJson(const nlohmann::ordered_json& json) {
  constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
  return Print(json.dump(2, ' ', false, kReplace) + "\n");
}

int PrintError(const Error& error) {
  (void)sys::WriteAll(STDERR_FILENO, fmt::format("kata-runtime: {}\n", error.message()));
  return 1;
}

void Run(CLI::App* command, int* status, std::function<Result<int>()> work) {
  command->callback([status, work = std::move(work)] {
    const auto done = work();
    *status = done ? *done : PrintError(done.error());
  });
}

std::string When(int64_t seconds_since_1970) {
  const std::time_t time = seconds_since_1970;
  std::tm local{};
  ::localtime_r(&time, &local);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local)};
}

}  // namespace kata::cli
