// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "host/cli/command.h"
#include "host/cli/host.h"
#include "host/config/render.h"
#include "host/config/schema.h"
#include "host/hypervisor/accelerator.h"
#include "host/storage/virtiofsd_features.h"

namespace kata::cli {
namespace {

using Json = nlohmann::ordered_json;

// One [table] of the report; values are what TOML and JSON have in common.
struct Section {
  std::string name;
  std::vector<std::pair<std::string, config::Value>> entries;
};

int64_t FileSize(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? status.st_size : 0;
}

std::string VersionOf(const std::string& program) {
  if (program.empty()) return "";
  const auto version = ProgramVersion(program);
  return version ? *version : "unknown: " + version.error().message();
}

Section Accelerator(const config::Loaded& loaded) {
  const auto choice = hypervisor::ChooseAccelerator(loaded.config.hypervisor.accelerator);
  if (!choice) return {"accelerator", {{"error", choice.error().message()}}};
  return {"accelerator", {{"kind", std::string(choice->name())}, {"reason", choice->reason}}};
}

std::string KindOfVirtiofsd(const std::string& program) {
  if (program.empty()) return "";
  const auto features = storage::AskVirtiofsd(program);
  return features ? std::string(features->title()) : "unknown: " + features.error().message();
}

std::vector<Section> Facts(const config::Loaded& loaded) {
  const config::HypervisorConfig& vm = loaded.config.hypervisor;
  const Cpu cpu = ReadCpu("");
  const std::string& guest_root = vm.image.empty() ? vm.initrd : vm.image;
  return {
      {"runtime",
       {{"version", std::string(kVersion)},
        {"commit", std::string(kRevision)},
        {"program", loaded.program},
        {"configuration_files", loaded.files},
        {"warnings", loaded.warnings}}},
      {"host",
       {{"kernel", KernelRelease()},
        {"cpu", cpu.model},
        {"virtualization", cpu.virtualization},
        {"cpus", loaded.host.cpus},
        {"memory_mib", loaded.host.memory_mib},
        {"cgroups", ReadCgroups("").layout}}},
      Accelerator(loaded),
      {std::string(loaded.vmm->name),
       {{"path", vm.path},
        {"version", VersionOf(vm.path)},
        {"chosen_by", loaded.SourceOf(config::Table::kRuntime, "hypervisor_name").ToString()}}},
      {"virtiofsd",
       {{"path", vm.virtio_fs_daemon},
        {"version", VersionOf(vm.virtio_fs_daemon)},
        {"kind", KindOfVirtiofsd(vm.virtio_fs_daemon)}}},
      {"kernel",
       {{"path", vm.kernel},
        {"release", GuestKernelRelease(vm.kernel).value_or("")},
        {"size_bytes", FileSize(vm.kernel)}}},
      {vm.image.empty() ? "initrd" : "image",
       {{"path", guest_root}, {"size_bytes", FileSize(guest_root)}}},
  };
}

std::string Text(const config::Loaded& loaded) {
  std::string text = "# What was found\n";
  for (const Section& section : Facts(loaded)) {
    text += fmt::format("\n[env.{}]\n", section.name);
    for (const auto& [name, value] : section.entries) {
      text += fmt::format("{} = {}\n", name, config::ToToml(value));
    }
  }
  return text + "\n# Configuration in effect, and where each value came from\n\n" +
         config::RenderEffective(loaded);
}

Json ToJson(const config::Value& value) {
  return std::visit([](const auto& inner) { return Json(inner); }, value);
}

std::string JsonText(const config::Loaded& loaded) {
  Json report;
  for (const Section& section : Facts(loaded)) {
    for (const auto& [name, value] : section.entries) {
      report["env"][section.name][name] = ToJson(value);
    }
  }
  for (const auto table : config::kTables) {
    Json& keys = report["configuration"][std::string(loaded.TableOf(table))];
    for (const config::Key& key : config::Keys(table)) {
      if (!key.alias_of.empty()) continue;
      keys[std::string(key.name)] = {{"value", ToJson(config::Get(key, loaded.config))},
                                     {"source", loaded.SourceOf(key).ToString()}};
    }
  }
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

void AddEnv(CLI::App& app, const Globals& globals, int* status) {
  CLI::App* command =
      app.add_subcommand("env", "Print the configuration in effect and what was found on this host")
          ->alias("kata-env");
  command->footer(
      "Each value is followed by its origin: file and line, or \"built in\".\n"
      "\n"
      "Examples:\n"
      "  kata-runtime env\n"
      "  kata-runtime env --json | jq .env.accelerator\n"
      "  KATA_CONF_FILE=/etc/kata-containers/test.toml kata-runtime env\n");
  const auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print JSON");
  command->callback([json, status, &globals] {
    const auto loaded = LoadConfig(globals);
    *status =
        loaded ? Print(*json ? JsonText(*loaded) : Text(*loaded)) : PrintError(loaded.error());
  });
}

}  // namespace kata::cli
