// SPDX-License-Identifier: Apache-2.0
#include "host/shim/command_line.h"

#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "base/parse_bool.h"
#include "oci/id.h"

namespace kata::shim {
namespace {

std::unexpected<Error> Misuse(std::string message) {
  return Fail(Code::kInvalidArgument, std::move(message));
}

// Where the value of a flag goes; nullptr for flags that have none of that kind.
std::string* StringFlag(CommandLine& line, std::string_view name) {
  if (name == "namespace") return &line.namespace_name;
  if (name == "id") return &line.id;
  if (name == "address") return &line.address;
  if (name == "publish-binary") return &line.publish_binary;
  if (name == "bundle") return &line.bundle;
  if (name == "socket") return &line.socket;
  if (name == "config") return &line.config;
  if (name == "room") return &line.room;
  return nullptr;
}

struct Switches {
  bool debug = false;
  bool version = false;
  bool info = false;
  bool help = false;
};

bool* BoolFlag(Switches& switches, std::string_view name) {
  if (name == "debug") return &switches.debug;
  if (name == "v" || name == "version") return &switches.version;
  if (name == "info") return &switches.info;
  if (name == "h" || name == "help") return &switches.help;
  return nullptr;
}

Result<void> ParseAction(CommandLine& line, std::string_view word) {
  if (line.action != Action::kDaemon) return Misuse(fmt::format("unexpected word \"{}\"", word));
  if (word == "start") {
    line.action = Action::kStart;
  } else if (word == "delete") {
    line.action = Action::kDelete;
  } else if (word == "warm") {
    line.action = Action::kWarm;
  } else if (word == "template") {
    line.action = Action::kTemplate;
  } else if (word == "layers") {
    line.action = Action::kLayers;
  } else {
    return Misuse(fmt::format("unknown action \"{}\": expected start or delete", word));
  }
  return {};
}

int* FdFlag(CommandLine& line, std::string_view name) {
  if (name == "listen-fd") return &line.listen_fd;
  if (name == "control-fd") return &line.control_fd;
  return nullptr;
}

Result<void> ParseFd(std::string_view name, std::string_view word, int* fd) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *fd);
  if (error != std::errc() || end != word.data() + word.size() || *fd < 3) {
    return Misuse(fmt::format("-{}: \"{}\" is not a descriptor above 2", name, word));
  }
  return {};
}

Result<void> CheckComplete(const CommandLine& line) {
  if (line.action == Action::kDaemon && line.listen_fd < 0) {
    return Misuse("an action is missing: expected start or delete");
  }
  if (line.action == Action::kTemplate || line.action == Action::kLayers) return {};
  if (line.action == Action::kWarm) {
    if (line.control_fd < 0) return Misuse("warm: -control-fd is missing");
    return oci::ValidateId("-id", line.id);
  }
  KATA_TRY(oci::ValidateId("-id", line.id));
  return oci::ValidateId("-namespace", line.namespace_name);
}

}  // namespace

Result<CommandLine> ParseCommandLine(std::span<const char* const> arguments) {
  CommandLine line;
  Switches switches;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (word.size() < 2 || word.front() != '-') {
      KATA_TRY(ParseAction(line, word));
      continue;
    }
    std::string_view name = word.substr(word.starts_with("--") ? 2 : 1);
    std::optional<std::string_view> value;
    if (const size_t equals = name.find('='); equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    if (bool* flag = BoolFlag(switches, name)) {
      const auto parsed = ParseBool(value.value_or("true"));
      if (!parsed) return Misuse(fmt::format("-{}: \"{}\" is not a boolean", name, *value));
      *flag = *parsed;
      continue;
    }
    std::string* text = StringFlag(line, name);
    int* fd = FdFlag(line, name);
    if (text == nullptr && fd == nullptr) {
      return Misuse(fmt::format("unknown flag \"{}\"", word));
    }
    if (!value) {
      if (++i == arguments.size()) return Misuse(fmt::format("-{}: a value is missing", name));
      value = arguments[i];
    }
    if (text != nullptr) {
      *text = *value;
    } else {
      KATA_TRY(ParseFd(name, *value, fd));
    }
  }
  line.debug = switches.debug;
  if (switches.help || switches.version || switches.info) {
    line.action = switches.help      ? Action::kHelp
                  : switches.version ? Action::kVersion
                                     : Action::kInfo;
    return line;
  }
  KATA_TRY(CheckComplete(line));
  return line;
}

std::string_view UsageText() {
  return "Usage: containerd-shim-kata-v2 -namespace NS -id ID -address SOCKET "
         "[-publish-binary FILE] [-bundle DIR] [-debug] start|delete\n"
         "       containerd-shim-kata-v2 [-config FILE] template|layers\n"
         "       containerd-shim-kata-v2 -info | -v\n"
         "\n"
         "containerd starts this program; people use ctr, nerdctl, docker or kata-runtime.\n"
         "\n"
         "  -namespace NS         containerd's namespace of the container\n"
         "  -id ID                the container's id\n"
         "  -address SOCKET       containerd's socket\n"
         "  -publish-binary FILE  program that publishes events, instead of the socket\n"
         "  -bundle DIR           the container's bundle (default: working directory)\n"
         "  -config FILE          configuration.toml to read instead of the installed one\n"
         "  -debug                log more\n"
         "\n"
         "  start     make the sandbox's shim, or find it, and print its address\n"
         "  delete    remove what a dead sandbox left behind\n"
         "  template  boot and save the VM that others are copies of; reads annotations from "
         "stdin\n"
         "  layers    make images of layers; reads their directories from stdin, a zero byte "
         "behind "
         "each\n"
         "  -info     describe the runtime, as a protobuf message; reads options from stdin\n"
         "  -v        print the version\n";
}

}  // namespace kata::shim
