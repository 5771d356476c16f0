// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>
#include <chrono>

#include <fmt/format.h>

#include "host/cli/oci/command.h"
#include "host/cli/oci/shim.h"
#include "host/cli/oci/stats.h"

namespace kata::cli::oci {
namespace {

using std::chrono::milliseconds;

// How late an out-of-memory event may be.
constexpr auto kOomDelay = milliseconds(500);

constexpr std::array kEventsFlags = {
    Flag{"interval", '\0', true, "time between two statistics (default: 5s)", "TIME"},
    Flag{"stats", '\0', false, "print the statistics once and end"},
};

// Go's durations of one unit: 500ms, 5s, 2m, 1h.
Result<milliseconds> ParseInterval(const std::string& text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(stop, static_cast<size_t>(end - stop));
  const double scale = unit == "ms"  ? 1
                       : unit == "s" ? 1000
                       : unit == "m" ? 60'000
                       : unit == "h" ? 3'600'000
                                     : 0;
  if (error != std::errc() || scale == 0 || number * scale > 1e12) {
    return Fail(Code::kInvalidArgument, fmt::format("interval \"{}\" is no duration", text));
  }
  if (number * scale < 1) {
    return Fail(Code::kInvalidArgument, "duration interval must be greater than 0");
  }
  return milliseconds(static_cast<int64_t>(number * scale));
}

Result<Stats> Ask(Shim& shim, const std::string& id) {
  task::StatsRequest request;
  request.set_id(id);
  return ReadStats(KATA_TRY(shim.Call<task::StatsResponse>("Stats", request)).stats());
}

Result<void> PrintEvent(const std::string& id, const char* type,
                        const nlohmann::ordered_json& data) {
  nlohmann::ordered_json event = {{"type", type}, {"id", id}};
  if (!data.is_null()) event["data"] = data;
  return Print(event.dump() + "\n");
}

Result<int> Events(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const milliseconds interval = KATA_TRY(ParseInterval(arguments.Get("interval", "5s")));
  if (KATA_TRY(StatusOf(state)) == "stopped") {
    return Fail(Code::kFailedPrecondition,
                fmt::format("container with id {} is not running", state.id));
  }
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  Stats stats = KATA_TRY(Ask(*shim, state.id));
  if (arguments.On("stats")) {
    KATA_TRY(PrintEvent(state.id, "stats", stats.data));
    return 0;
  }
  uint64_t oom_kills = stats.oom_kills;
  Deadline next_statistics = Deadline::After(interval);
  for (;;) {
    // The container's end ends the wait. An out-of-memory event does not wait for statistics.
    const Deadline soon = Deadline::After(kOomDelay).Earlier(next_statistics);
    const auto ended = shim->Wait(state.id, soon);
    if (ended || ended.error().code() != Code::kDeadlineExceeded) return 0;
    auto next = Ask(*shim, state.id);
    if (!next) return 0;
    for (; oom_kills < next->oom_kills; ++oom_kills) KATA_TRY(PrintEvent(state.id, "oom", {}));
    if (!next_statistics.Passed()) continue;
    KATA_TRY(PrintEvent(state.id, "stats", next->data));
    next_statistics = Deadline::After(interval);
  }
}

}  // namespace

const Command kEvents{.name = "events",
                      .summary = "print statistics and out-of-memory events of a container",
                      .examples =
                          "  kata-runtime events --stats web        once\n"
                          "  kata-runtime events --interval 1s web  each second\n",
                      .flags = kEventsFlags,
                      .run = Events};

}  // namespace kata::cli::oci
