// SPDX-License-Identifier: Apache-2.0
//
// host/shim/command_line.h - the words that containerd starts the shim with.
//
// The form is that of Go's flag package: -name value, -name=value, with one dash or two; booleans
// take a value only after "=". The action is the first word that is not a flag; flags may also
// follow it.
// Basis: containerd's runtime v2 README, "Commands" and "Host Level Shim Configuration".
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::shim {

enum class Action {
  kDaemon,  // no action word: the process that `start` makes
  kStart,
  kDelete,
  kTemplate,
  kLayers,
  kWarm,
  kVersion,
  kInfo,
  kHelp,
};

struct CommandLine {
  Action action = Action::kDaemon;
  std::string namespace_name;
  std::string id;
  std::string address;
  std::string publish_binary;
  std::string bundle;
  std::string socket;   // the daemon's own socket, as a path
  int listen_fd = -1;   // the daemon's only
  std::string config;   // of template, layers and warm
  int control_fd = -1;  // of warm
  std::string room;     // of warm: nothing, which takes place for the arguments that it will have
  bool debug = false;
};

// `arguments` without the program's name.
// Errors  kInvalidArgument  names the word at fault; with -v, -info and -h other flags may be
//                           missing, but not unknown
Result<CommandLine> ParseCommandLine(std::span<const char* const> arguments);

std::string_view UsageText();

}  // namespace kata::shim
