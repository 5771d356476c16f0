// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/command.h"
#include "host/factory/template_store.h"
#include "host/warm/protocol.h"
#include "sys/process.h"
#include "sys/program.h"

namespace kata::cli {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

constexpr char kShimProgram[] = "containerd-shim-kata-v2";
constexpr auto kPatience = seconds(5);

// The line of the key that tells the kernel, the initrd or the VMM by its path.
std::vector<std::string> FilesOf(const factory::TemplateInfo& info) {
  std::vector<std::string> files;
  for (size_t begin = 0; begin < info.key.size();) {
    const size_t end = std::min(info.key.find('\n', begin), info.key.size());
    const std::string line = info.key.substr(begin, end - begin);
    begin = end + 1;
    if (line.starts_with('/')) files.push_back(line.substr(0, line.find(' ')));
    if (line.starts_with("cpu ")) break;
  }
  return files;
}

Json ToJson(const factory::TemplateInfo& info) {
  return {{"name", info.name},
          {"created", info.created},
          {"memory_mib", info.memory_mib},
          {"stored_mib", info.memory.bytes() >> 20},
          {"files", FilesOf(info)}};
}

Json Warm(const config::FactoryConfig& config) {
  const auto answer = warm::Ask(config.vm_cache_endpoint, "status", Deadline::After(kPatience));
  const Json read = answer ? Json::parse(*answer, nullptr, false) : Json();
  if (!read.is_object()) return {{"running", false}, {"socket", config.vm_cache_endpoint}};
  Json warm{{"running", true}, {"socket", config.vm_cache_endpoint}};
  warm.update(read);
  return warm;
}

std::string Text(const config::FactoryConfig& config, const Json& status) {
  std::string text = fmt::format("templates in {}{}\n", config.template_path,
                                 config.enable_template ? "" : " (enable_template is off)");
  for (const Json& each : status["templates"]) {
    text += fmt::format("  {}  {}  {} of {} MiB\n", each["name"].get<std::string>(),
                        When(each["created"].get<int64_t>()), each["stored_mib"].get<int64_t>(),
                        each["memory_mib"].get<int64_t>());
    for (const Json& file : each["files"]) text += fmt::format("    {}\n", file.get<std::string>());
  }
  if (status["templates"].empty()) {
    text += "  none; the first container makes one, or kata-runtime factory init\n";
  }
  for (const Json& reason : status["failures"]) {
    text += fmt::format("  not made: {}\n", reason.get<std::string>());
  }
  const Json& warm = status["warm"];
  text += fmt::format("warm machines at {}\n", config.vm_cache_endpoint);
  if (!warm["running"].get<bool>()) {
    return text + "  the service kata-factory does not run; containers start from templates\n";
  }
  const auto number = [&](const char* name) { return warm.value(name, int64_t{0}); };
  if (const std::string served = warm.value("config", ""); !served.empty()) {
    text += fmt::format("  with the configuration {}\n", served);
  }
  return text + fmt::format("  {} of {} ready, {} being prepared; {} given, {} missed, {} failed\n",
                            number("ready"), number("wanted"), number("preparing"), number("given"),
                            number("missed"), number("failed"));
}

int Status(const Globals& globals, bool json) {
  const auto loaded = LoadConfig(globals);
  if (!loaded) return PrintError(loaded.error());
  const config::FactoryConfig& config = loaded->config.factory;
  Json status{{"template_path", config.template_path},
              {"enable_template", config.enable_template},
              {"templates", Json::array()}};
  const factory::TemplateStore store(config.template_path);
  const auto list = store.List();
  if (!list) return PrintError(list.error());
  for (const factory::TemplateInfo& info : *list) status["templates"].push_back(ToJson(info));
  status["failures"] = store.Failures();
  status["warm"] = Warm(config);
  return Print(json ? status.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
                    : Text(config, status));
}

// The shim makes templates; it is told the same configuration.
Result<int> Init(const Globals& globals) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const std::string shim = KATA_TRY(sys::FindNeighbour(kShimProgram));
  sys::Command command;
  command.argv = {shim, "template"};
  if (!loaded.files.empty()) command.argv.insert(command.argv.end(), {"-config", loaded.files[0]});
  command.stdout_fd = STDOUT_FILENO;
  command.stderr_fd = STDERR_FILENO;
  // Who ends this command wants no template either.
  command.parent_death_signal = SIGTERM;
  auto child = KATA_TRY(sys::ChildProcess::Spawn(command));
  const sys::ExitStatus status = KATA_TRY(child.Wait(Deadline::Never()));
  return status.ShellCode();
}

Result<int> Destroy(const Globals& globals) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const config::FactoryConfig& config = loaded.config.factory;
  const factory::TemplateStore store(config.template_path);
  const auto list = KATA_TRY(store.List());
  for (const factory::TemplateInfo& info : list) KATA_TRY(store.Remove(info.name));
  const bool dropped =
      warm::Ask(config.vm_cache_endpoint, "drop", Deadline::After(kPatience)).has_value();
  return Print(fmt::format("{} template{} removed{}\n", list.size(), list.size() == 1 ? "" : "s",
                           dropped ? "; the service replaces its warm machines" : ""));
}

}  // namespace

void AddFactory(CLI::App& app, const Globals& globals, int* status) {
  CLI::App* command =
      app.add_subcommand("factory", "Templates and warm machines, which containers start from");
  command->require_subcommand(1);
  command->footer(
      "Nobody has to call this: the first container of a host boots its machine and has the\n"
      "template made, the next ones are copies of it. The service kata-factory keeps machines\n"
      "ready, from which containers start at once.\n"
      "\n"
      "Examples:\n"
      "  kata-runtime factory init            make the template now\n"
      "  kata-runtime factory status --json   what there is, for programs\n"
      "  kata-runtime factory destroy         remove it; running containers keep theirs\n");
  Run(command->add_subcommand("init", "Make the template of the configuration, if there is none"),
      status, [&globals] { return Init(globals); });
  CLI::App* show = command->add_subcommand("status", "Show templates and warm machines");
  const auto json = std::make_shared<bool>(false);
  show->add_flag("--json", *json, "print JSON");
  Run(show, status, [&globals, json]() -> Result<int> { return Status(globals, *json); });
  Run(command->add_subcommand("destroy", "Remove all templates, and have warm machines replaced"),
      status, [&globals] { return Destroy(globals); });
}

}  // namespace kata::cli
