// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/command.h - what the OCI commands of kata-runtime share. Each has a file of its own.
//
// They are clients of the shim's Task API and read no configuration: a command that boots no
// virtual machine takes a few milliseconds. Basis: runc(8) and its pages, whose flags, output and
// error texts are kept.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "host/cli/oci/flags.h"
#include "host/help/tree.h"

namespace kata::cli::oci {

// The options in front of the command that have a meaning here.
struct Globals {
  std::string root = "/run/kata-runtime";
  bool root_is_named = false;  // by the caller
  std::string log;
  bool log_json = false;
  bool debug = false;
  std::string config;  // configuration.toml for new sandboxes; empty: looked up
};

// Most commands are about one container; those that are not say which words they take.
struct Command {
  std::string_view name;
  std::string_view words = "CONTAINER";  // what follows the flags, for the help
  std::string_view summary;
  std::string_view examples = {};  // lines of a command and what it does
  std::span<const Flag> flags;
  size_t min_words = 1;
  size_t max_words = 1;
  bool only_leading_flags = false;
  int error_status = 1;
  // Of a command that is known by its name only: why it is not carried out.
  std::string_view refusal = {};
  // Returns the exit status. Errors are reported by the caller.
  Result<int> (*run)(const Globals& globals, const Arguments& arguments) = nullptr;
};

extern const Command kCheckpoint;
extern const Command kCreate;
extern const Command kDelete;
extern const Command kDirectVolume;
extern const Command kEvents;
extern const Command kExec;
extern const Command kFeatures;
extern const Command kIpTables;
extern const Command kKill;
extern const Command kList;
extern const Command kMetrics;
extern const Command kPause;
extern const Command kPs;
extern const Command kRestore;
extern const Command kResume;
extern const Command kRun;
extern const Command kSpec;
extern const Command kStart;
extern const Command kState;
extern const Command kUpdate;

// Runs the OCI command that the command line asks for; nothing when it asks for another one.
std::optional<int> RunOciCommand(std::span<const char* const> line);

// The word of the command line that is to be a command; nothing where there is none, or where an
// option in front of it is not known here.
std::optional<std::string> CommandWord(std::span<const char* const> line);

// The commands with their summaries, a line each.
std::string ListOfCommands();

// The commands and the options in front of them, for manual pages and completions.
help::Tree HelpTree();

// What this program was called as: "runc" where a link of that name leads here.
std::string_view ProgramName();

// An error as runc tells it: a log line on standard error, or in the log file and the message alone
// on standard error.
void Report(const Globals& globals, std::string_view message);
// A warning: a log line in the log file, or on standard error.
void Warn(const Globals& globals, std::string_view message);
// With --debug, a log line about a step; tools look for runc's words in them.
void Debug(const Globals& globals, std::string_view message);

// Writes to standard output.
Result<void> Print(std::string_view text);

}  // namespace kata::cli::oci
