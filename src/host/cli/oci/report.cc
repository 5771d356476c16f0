// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/command.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

std::string Now() {
  const time_t now = ::time(nullptr);
  tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  ::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// As a JSON string, which is also how logfmt quotes.
std::string Quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string LogLine(bool as_json, std::string_view level, std::string_view message) {
  return as_json ? fmt::format(R"({{"level":"{}","msg":{},"time":"{}"}})"
                               "\n",
                               level, Quoted(message), Now())
                 : fmt::format("time=\"{}\" level={} msg={}\n", Now(), level, Quoted(message));
}

void Log(const Globals& globals, std::string_view level, std::string_view message) {
  const std::string line = LogLine(globals.log_json, level, message);
  if (globals.log.empty()) {
    (void)sys::WriteAll(STDERR_FILENO, line);
    return;
  }
  const auto file = sys::Open(globals.log, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (file) (void)sys::WriteAll(file->get(), line);
}

}  // namespace

void Report(const Globals& globals, std::string_view message) {
  Log(globals, "error", message);
  if (!globals.log.empty()) (void)sys::WriteAll(STDERR_FILENO, fmt::format("{}\n", message));
}

void Warn(const Globals& globals, std::string_view message) { Log(globals, "warning", message); }

void Debug(const Globals& globals, std::string_view message) {
  if (globals.debug) Log(globals, "debug", message);
}

std::string_view ProgramName() {
  const std::string_view name = program_invocation_short_name;
  return name.empty() ? "kata-runtime" : name;
}

Result<void> Print(std::string_view text) {
  KATA_TRY_WITHIN("standard output", sys::WriteAll(STDOUT_FILENO, text));
  return {};
}

}  // namespace kata::cli::oci
