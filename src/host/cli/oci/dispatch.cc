// SPDX-License-Identifier: Apache-2.0
//
// Finding the command and its flags.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <vector>

#include <fmt/format.h>

#include "host/cli/oci/command.h"
#include "sys/fd.h"

namespace kata::cli::oci {
namespace {

constexpr std::array kCommands = {&kCheckpoint, &kCreate,   &kDelete,   &kDirectVolume, &kEvents,
                                  &kExec,       &kFeatures, &kIpTables, &kKill,         &kList,
                                  &kMetrics,    &kPause,    &kPs,       &kRestore,      &kResume,
                                  &kRun,        &kSpec,     &kStart,    &kState,        &kUpdate};

constexpr std::array kGlobalFlags = {
    Flag{"root", '\0', true, "directory for the state of containers", "DIR"},
    Flag{"log", '\0', true, "file to append errors and warnings to", "FILE"},
    Flag{"log-format", '\0', true, "the form of errors", "text|json"},
    Flag{"debug", '\0', false, "the shim logs more"},
    Flag{"config", '\0', true, "configuration.toml for new sandboxes", "FILE"},
    Flag{"kata-config", '\0', true, "the same", "FILE"},
    Flag{"log-level", '\0', true, "without meaning here", "trace|debug|info|warn|error"},
    Flag{"criu", '\0', true, "without meaning here", "FILE"},
    Flag{"systemd-cgroup", '\0', false, "without meaning here"},
    Flag{"cgroup-manager", '\0', true, "without meaning here", "NAME"},
    Flag{"rootless", '\0', true, "without meaning here", "auto|true|false"},
};

const Command* FindCommand(std::string_view name) {
  const auto it = std::find_if(kCommands.begin(), kCommands.end(),
                               [&](const Command* command) { return command->name == name; });
  return it == kCommands.end() ? nullptr : *it;
}

std::string_view ValueWord(const Flag& flag) {
  if (!flag.takes_value) return "";
  return flag.value.empty() ? "VALUE" : flag.value;
}

help::Option ToHelp(const Flag& flag) {
  help::Option option{.names = {fmt::format("--{}", flag.name)},
                      .value = std::string(ValueWord(flag)),
                      .help = std::string(flag.help)};
  if (flag.letter != '\0') option.names.push_back(fmt::format("-{}", flag.letter));
  option.choices = help::SplitChoices(option.value);
  return option;
}

help::Tree ToHelp(const Command& command) {
  help::Tree tree{.name = std::string(command.name),
                  .summary = std::string(command.summary),
                  .words = std::string(command.words),
                  .words_end_options = command.only_leading_flags};
  if (!command.refusal.empty()) tree.footer = fmt::format("Refused: {}.\n", command.refusal);
  if (!command.examples.empty()) tree.footer += fmt::format("\nExamples:\n{}", command.examples);
  for (const Flag& flag : command.flags) tree.options.push_back(ToHelp(flag));
  return tree;
}

std::string Help(const Command& command) {
  // Programs look for runc's first two lines.
  std::string text =
      fmt::format("NAME:\n   {0} {1} - {2}\n\nUSAGE:\n   {0} [global options] {1} [options] {3}\n",
                  ProgramName(), command.name, command.summary, command.words);
  if (!command.refusal.empty()) text += fmt::format("\n{}\n", command.refusal);
  if (!command.flags.empty()) text += "\nOPTIONS:\n";
  for (const Flag& flag : command.flags) {
    const std::string letter = flag.letter != '\0' ? fmt::format(", -{}", flag.letter) : "";
    text += fmt::format(
        "  {:<28} {}\n",
        fmt::format("--{}{}{}{}", flag.name, letter, flag.takes_value ? " " : "", ValueWord(flag)),
        flag.help);
  }
  if (!command.examples.empty()) text += fmt::format("\nEXAMPLES:\n{}", command.examples);
  return text;
}

Result<Globals> ReadGlobals(const Arguments& arguments) {
  Globals globals;
  globals.root = arguments.Get("root", globals.root);
  globals.root_is_named = !arguments.Get("root").empty();
  globals.log = arguments.Get("log");
  globals.debug = arguments.On("debug");
  globals.config = arguments.Get("config", arguments.Get("kata-config"));
  if (globals.log == "/dev/stderr") globals.log.clear();
  const std::string format = arguments.Get("log-format", "text");
  globals.log_json = format == "json";
  if (format != "json" && format != "text" && !format.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("invalid log-format: {}", format));
  }
  while (globals.root.size() > 1 && globals.root.ends_with('/')) globals.root.pop_back();
  if (!globals.root.starts_with('/')) {
    char directory[4096];
    if (::getcwd(directory, sizeof directory) == nullptr) return FailErrno("getcwd");
    globals.root = fmt::format("{}/{}", directory, globals.root);
  }
  return globals;
}

bool AsksForHelp(std::span<const char* const> words, bool only_leading) {
  for (const std::string_view word : words) {
    if (word == "--help" || word == "-h") return true;
    if (word == "--" || (only_leading && !word.starts_with('-'))) return false;
  }
  return false;
}

std::string WordCount(const Command& command) {
  const std::string_view kind = command.min_words == command.max_words ? "exactly"
                                : command.max_words == SIZE_MAX        ? "a minimum of"
                                                                       : "between";
  if (kind == "between") {
    return fmt::format("{} {} and {} argument(s)", kind, command.min_words, command.max_words);
  }
  return fmt::format("{} {} argument{}", kind, command.min_words, kind == "exactly" ? "(s)" : "s");
}

Result<int> Run(const Command& command, const Globals& globals,
                std::span<const char* const> words) {
  if (!command.refusal.empty()) {
    return Fail(Code::kUnimplemented, fmt::format("{}: {}", command.name, command.refusal));
  }
  const Arguments arguments =
      KATA_TRY(Arguments::Parse(command.flags, words, command.only_leading_flags));
  const size_t count = arguments.words().size();
  if (count < command.min_words || count > command.max_words) {
    return Fail(Code::kInvalidArgument, fmt::format("{}: \"{}\" requires {}", ProgramName(),
                                                    command.name, WordCount(command)));
  }
  return command.run(globals, arguments);
}

// A caller may have closed them; a file of ours must not take their numbers.
void OpenStandardStreams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) (void)::open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
  }
}

}  // namespace

std::optional<int> RunOciCommand(std::span<const char* const> line) {
  const auto words = line.subspan(std::min<size_t>(1, line.size()));
  const auto global = Arguments::Parse(kGlobalFlags, words, true);
  if (!global || global->words().empty()) return std::nullopt;
  const Command* command = FindCommand(global->words().front());
  if (command == nullptr) return std::nullopt;
  OpenStandardStreams();
  const auto rest = words.last(global->words().size() - 1);
  if (AsksForHelp(rest, command->only_leading_flags)) return Print(Help(*command)) ? 0 : 1;
  const auto globals = ReadGlobals(*global);
  if (!globals) {
    Report({}, globals.error().message());
    return 1;
  }
  std::string problem;
  try {
    const auto status = Run(*command, *globals, rest);
    if (status) return *status;
    problem = status.error().message();
  } catch (const std::exception& error) {
    // The JSON library's way to say that a member has another type than it must have.
    problem = error.what();
  }
  Report(*globals, problem);
  return command->error_status;
}

std::optional<std::string> CommandWord(std::span<const char* const> line) {
  const auto global =
      Arguments::Parse(kGlobalFlags, line.subspan(std::min<size_t>(1, line.size())), true);
  if (!global || global->words().empty()) return std::nullopt;
  return global->words().front();
}

help::Tree HelpTree() {
  help::Tree tree;
  for (const Flag& flag : kGlobalFlags) tree.options.push_back(ToHelp(flag));
  for (const Command* command : kCommands) tree.commands.push_back(ToHelp(*command));
  return tree;
}

std::string ListOfCommands() {
  std::string text;
  for (const Command* command : kCommands) {
    text += fmt::format("  {:<10} {}\n", command->name, command->summary);
  }
  return text;
}

}  // namespace kata::cli::oci
