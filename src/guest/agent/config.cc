// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

namespace kata::guest {
namespace {

std::optional<uint64_t> ParseNumber(std::string_view text, uint64_t low, uint64_t high) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < low || value > high) return std::nullopt;
  return value;
}

bool SetLevel(Config& config, std::string_view value) {
  // Upstream knows levels that our log folds into its own.
  if (value == "critical" || value == "fatal" || value == "panic") value = "error";
  return log::ParseLevel(value, &config.log_level);
}

bool SetServerAddress(Config& config, std::string_view value) {
  constexpr size_t kMaxAddress = 256;
  if (value.size() > kMaxAddress || value.find("://") == std::string_view::npos) return false;
  config.server_addr = value;
  return true;
}

bool SetSeconds(std::chrono::seconds& field, std::string_view value) {
  constexpr uint64_t kMaxSeconds = 24 * 60 * 60;
  const auto seconds = ParseNumber(value, 1, kMaxSeconds);
  if (seconds) field = std::chrono::seconds(*seconds);
  return seconds.has_value();
}

bool SetPipeSize(Config& config, std::string_view value) {
  constexpr uint64_t kMaxPipe = 1 << 30;
  const auto size = ParseNumber(value, 0, kMaxPipe);
  if (size) config.container_pipe_size = *size;
  return size.has_value();
}

struct Option {
  std::string_view name;
  bool (*set)(Config&, std::string_view value);
};

constexpr std::array kOptions = {
    Option{"agent.log", SetLevel},
    Option{"agent.server_addr", SetServerAddress},
    Option{"agent.hotplug_timeout",
           [](Config& config, std::string_view value) {
             return SetSeconds(config.hotplug_timeout, value);
           }},
    Option{"agent.launch_process_timeout",
           [](Config& config, std::string_view value) {
             return SetSeconds(config.launch_process_timeout, value);
           }},
    Option{"agent.container_pipe_size", SetPipeSize},
};

void Apply(Config& config, std::string_view name, std::string_view value) {
  const auto option = std::ranges::find(kOptions, name, &Option::name);
  if (option == kOptions.end() || option->set(config, value)) return;
  config.warnings.push_back(fmt::format("{}: bad value \"{}\", ignored", name, value));
}

}  // namespace

Config ParseCommandLine(std::string_view command_line) {
  Config config;
  constexpr std::string_view kBlanks = " \t\n";
  while (true) {
    const size_t start = command_line.find_first_not_of(kBlanks);
    if (start == std::string_view::npos) return config;
    command_line.remove_prefix(start);
    const std::string_view word = command_line.substr(0, command_line.find_first_of(kBlanks));
    command_line.remove_prefix(word.size());
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    Apply(config, word.substr(0, equals), word.substr(equals + 1));
  }
}

void ApplyEnvironment(Config* config) {
  if (const char* address = std::getenv("KATA_AGENT_SERVER_ADDR")) {
    Apply(*config, "agent.server_addr", address);
  }
  if (const char* level = std::getenv("KATA_AGENT_LOG_LEVEL")) Apply(*config, "agent.log", level);
}

}  // namespace kata::guest
