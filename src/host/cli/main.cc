// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime: what an administrator asks of kata-cpp on the command line.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "host/cli/command.h"
#include "host/cli/oci/command.h"
#include "host/cli/oci/stand_in.h"
#include "host/help/tree.h"
#include "sys/files.h"

namespace kata::cli {
namespace {

constexpr int kUsageError = 2;
constexpr int kNoSuchCommand = 3;  // as runc

constexpr const char* kFooter =
    "\n"
    "Examples:\n"
    "  kata-runtime check                      can this host run containers, and what would help\n"
    "  kata-runtime doctor                     try a container, and say what is slow or broken\n"
    "  kata-runtime env                        the configuration in effect and where it came from\n"
    "  kata-runtime --config FILE env --json   the same for another file, for programs\n"
    "  kata-runtime setup docker --default     have Docker use this runtime\n"
    "\n"
    "Environment:\n"
    "  KATA_CONF_FILE   configuration.toml to read instead of the installed one\n"
    "  NO_COLOR         when set, output has no colours\n";

void AddGlobals(CLI::App& app, Globals* globals) {
  app.add_option("--config,--kata-config", globals->config,
                 "configuration.toml to read instead of the installed one")
      ->type_name("FILE");
  app.add_option("--root", globals->root, "directory for the state of containers")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_option("--log", globals->log, "append log lines to this file instead of standard error")
      ->type_name("FILE");
  app.add_option("--log-format", globals->log_format, "accepted for runc's sake: text, json")
      ->type_name("WORD")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--log-level", globals->log_level, "trace, debug, info, warn or error")
      ->type_name("LEVEL")
      ->capture_default_str()
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}));
  app.add_flag("--debug", globals->debug, "the same as --log-level debug");
  app.add_flag("--systemd-cgroup", globals->ignored,
               "accepted for runc's sake; cgroups of containers are the guest's");
  app.add_option("--rootless", globals->rootless, "accepted for runc's sake; root is needed")
      ->type_name("auto|true|false");
}

Result<void> OpenLog(const Globals& globals) {
  log::Level level = log::Level::kWarn;
  (void)log::ParseLevel(globals.debug ? "debug" : globals.log_level, &level);
  log::SetLevel(level);
  if (globals.log.empty()) return {};
  auto file = KATA_TRY_WITHIN("--log", sys::Open(globals.log, O_WRONLY | O_CREAT | O_APPEND, 0644));
  // Open until the process ends.
  log::SetOutput(file.Release());
  return {};
}

int Misused(const std::string& problem, int status) {
  std::fputs(fmt::format("{0}: {1}\nTry: {0} --help\n", oci::ProgramName(), problem).c_str(),
             stderr);
  return status;
}

// The commands of two kinds and the options of both.
help::Tree WholeTree(const CLI::App& app) {
  help::Tree tree = help::ReadApp(app);
  help::Tree oci = oci::HelpTree();
  for (help::Option& option : oci.options) {
    const auto same = [&](const help::Option& known) {
      return std::find(known.names.begin(), known.names.end(), option.names.front()) !=
             known.names.end();
    };
    if (std::none_of(tree.options.begin(), tree.options.end(), same)) {
      tree.options.push_back(std::move(option));
    }
  }
  for (help::Tree& command : oci.commands) tree.commands.push_back(std::move(command));
  tree.summary =
      "Open Container Initiative runtime; its containers have virtual machines of their own";
  tree.footer = kFooter;
  return tree;
}

std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining();
  if (unknown.empty() || !app.get_subcommands().empty()) return error.what();
  return fmt::format("unknown option \"{}\"", unknown.front());
}

int Main(int argc, char** argv) {
  Globals globals;
  int status = 0;
  const std::string name(oci::ProgramName());
  // Programs look for runc's first two lines.
  CLI::App app(fmt::format("NAME:\n   {} - Open Container Initiative runtime; its containers have "
                           "virtual machines of their own\n",
                           name),
               name);
  app.footer("OCI commands, as runc has them:\n" + oci::ListOfCommands() + kFooter);
  app.set_version_flag("-v,--version", VersionText());
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  AddGlobals(app, &globals);
  app.parse_complete_callback([&globals] {
    if (auto opened = OpenLog(globals); !opened) {
      throw CLI::RuntimeError(PrintError(opened.error()));
    }
  });
  AddVersion(app, &status);
  AddCheck(app, globals, &status);
  AddEnv(app, globals, &status);
  AddDoctor(app, globals, &status);
  AddFactory(app, globals, &status);
  AddLayers(app, globals, &status);
  AddSetup(app, &status);
  AddSnapshot(app, globals, &status);
  if (argc == 2 && std::strcmp(argv[1], help::kDumpWord) == 0) {
    return Print(help::RenderJson(WholeTree(app)));
  }
  const auto word = oci::CommandWord({argv, static_cast<size_t>(argc)});
  const auto is_meant = [&](const CLI::App* command) { return command->get_name() == *word; };
  if (word && app.get_subcommands(is_meant).empty()) {
    return Misused(fmt::format("No help topic for '{}': there is no such command", *word),
                   kNoSuchCommand);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& error) {
    return error.get_exit_code();
  } catch (const CLI::Success& asked_for_text) {
    return app.exit(asked_for_text);
  } catch (const CLI::ParseError& error) {
    if (argc >= 2) return Misused(WhatIsWrong(app, error), kUsageError);
    std::fputs(app.help().c_str(), stderr);
    return kUsageError;
  }
  return status;
}

}  // namespace
}  // namespace kata::cli

int main(int argc, char** argv) {
  const std::span words(argv, static_cast<size_t>(argc));
  if (argc > 1 && std::strcmp(argv[1], kata::cli::oci::kStandInWord) == 0) {
    return kata::cli::oci::RunStandIn(words);
  }
  // A reader that went away is an error of write(2), not a silent end half-way.
  std::signal(SIGPIPE, SIG_IGN);
  if (const auto status = kata::cli::oci::RunOciCommand(words)) return *status;
  return kata::cli::Main(argc, argv);
}
