// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include <array>
#include <charconv>
#include <csignal>

#include <fmt/format.h>

#include "host/cli/oci/command.h"
#include "host/cli/oci/shim.h"

namespace kata::cli::oci {
namespace {

constexpr std::array kKillFlags = {
    Flag{"all", 'a', false, "send the signal to every process of the container"},
};

// A number, or a name with or without SIG, in either case.
Result<uint32_t> ParseSignal(const std::string& word) {
  uint32_t number = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, number);
  if (error == std::errc() && stop == end && number <= static_cast<uint32_t>(SIGRTMAX)) {
    return number;
  }
  std::string_view name = word;
  if (::strncasecmp(word.c_str(), "SIG", 3) == 0) name.remove_prefix(3);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    const char* const known = ::sigabbrev_np(signal);
    const std::string text = known != nullptr     ? known
                             : signal == SIGRTMIN ? "RTMIN"
                             : signal == SIGRTMAX ? "RTMAX"
                             : signal > SIGRTMIN  ? fmt::format("RTMIN+{}", signal - SIGRTMIN)
                                                  : "";
    if (text.size() == name.size() && ::strncasecmp(text.c_str(), name.data(), name.size()) == 0 &&
        !text.empty()) {
      return static_cast<uint32_t>(signal);
    }
  }
  return Fail(Code::kInvalidArgument, fmt::format("unknown signal \"{}\"", word));
}

Result<int> Kill(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words()[0]));
  const uint32_t signal =
      KATA_TRY(ParseSignal(arguments.words().size() > 1 ? arguments.words()[1] : "SIGTERM"));
  const bool all = arguments.On("all");
  const auto not_running = [&]() -> Result<int> {
    if (all) return 0;
    return Fail(Code::kNotFound, "container not running");
  };
  const auto shim = Shim::Connect(state.shim);
  if (!shim && ShimIsGone(shim.error())) return not_running();
  if (!shim) return std::unexpected(shim.error());
  // Signal 0 asks whether there is a process.
  if (signal == 0) {
    if (KATA_TRY((*shim)->State(state.id)).status() == task::STOPPED) return not_running();
    return 0;
  }
  const auto killed = (*shim)->Kill(state.id, signal, all);
  if (!killed && ShimIsGone(killed.error())) return not_running();
  if (!killed) return std::unexpected(killed.error());
  return 0;
}

}  // namespace

const Command kKill{.name = "kill",
                    .words = "CONTAINER [SIGNAL]",
                    .summary = "send a signal (SIGTERM) to a container's first process",
                    .examples =
                        "  kata-runtime kill web KILL        at once\n"
                        "  kata-runtime kill --all web TERM  all of its processes\n",
                    .flags = kKillFlags,
                    .max_words = 2,
                    .run = Kill};

}  // namespace kata::cli::oci
