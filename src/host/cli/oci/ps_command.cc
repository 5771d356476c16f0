// SPDX-License-Identifier: Apache-2.0
#include <time.h>

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/command.h"
#include "host/cli/oci/shim.h"

namespace kata::cli::oci {
namespace {

constexpr std::array kPsFlags = {
    Flag{"format", 'f', true, "table or json"},
};

constexpr size_t kMaxShownBytes = 4096;

// What a guest says is shown as printable text only.
std::string Printable(const std::string& text) {
  std::string result;
  for (const char c : text.substr(0, kMaxShownBytes)) {
    result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return result;
}

std::string StartText(uint64_t seconds) {
  const auto when = static_cast<time_t>(seconds);
  const time_t now = ::time(nullptr);
  tm parts{};
  ::localtime_r(&when, &parts);
  char text[16];
  ::strftime(text, sizeof text, now - when < 24 * 3600 ? "%H:%M" : "%b%d", &parts);
  return text;
}

std::string Table(const task::PidsResponse& response) {
  std::string text = "UID          PID    PPID  C STIME TTY          TIME CMD\n";
  for (const task::ProcessInfo& process : response.processes()) {
    const task::ProcessLook& look = process.look();
    const uint64_t cpu = look.cpu_seconds();
    text += fmt::format("{:<8} {:>7} {:>7}  0 {:>5} {:<8} {:02}:{:02}:{:02} {}\n", look.uid(),
                        process.pid(), look.parent(), StartText(look.started()), "?", cpu / 3600,
                        cpu / 60 % 60, cpu % 60, Printable(look.command()));
  }
  return text;
}

Result<int> Ps(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const std::string format = arguments.Get("format", "table");
  if (format != "table" && format != "json") {
    return Fail(Code::kInvalidArgument, "invalid format option");
  }
  const auto shim = Shim::Connect(state.shim);
  task::PidsResponse response;
  if (shim) {
    task::PidsRequest request;
    request.set_id(state.id);
    response = KATA_TRY((*shim)->Call<task::PidsResponse>("Pids", request));
  } else if (!ShimIsGone(shim.error())) {
    return std::unexpected(shim.error());
  }
  if (format == "table") {
    KATA_TRY(Print(Table(response)));
    return 0;
  }
  nlohmann::json pids = response.processes().empty() ? nlohmann::json() : nlohmann::json::array();
  for (const task::ProcessInfo& process : response.processes()) pids.push_back(process.pid());
  KATA_TRY(Print(pids.dump() + "\n"));
  return 0;
}

}  // namespace

const Command kPs{
    .name = "ps",
    .words = "CONTAINER [ps options]",
    .summary = "list the processes of a container, as its virtual machine counts them",
    .flags = kPsFlags,
    .max_words = SIZE_MAX,
    .run = Ps};

}  // namespace kata::cli::oci
