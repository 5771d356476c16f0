// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/command.h"
#include "host/factory/layer_build.h"
#include "host/factory/layer_store.h"
#include "sys/files.h"

namespace kata::cli {
namespace {

using Json = nlohmann::ordered_json;
using factory::LayerInfo;
using factory::LayerStore;
using std::chrono::minutes;

constexpr auto kLockTime = minutes(5);

LayerStore StoreOf(const config::FactoryConfig& config) {
  return {config.layers_path, config.layer_cache_size_mb};
}

Json ToJson(const LayerInfo& info) {
  return {{"name", info.name},       {"directory", info.directory},
          {"entries", info.entries}, {"image_bytes", info.image_bytes},
          {"created", info.created}, {"used", info.used}};
}

Json ToJson(const std::vector<LayerInfo>& list) {
  Json json = Json::array();
  for (const LayerInfo& info : list) json.push_back(ToJson(info));
  return json;
}

uint64_t Total(const std::vector<LayerInfo>& list) {
  uint64_t bytes = 0;
  for (const LayerInfo& info : list) bytes += info.image_bytes;
  return bytes;
}

std::string Count(const std::vector<LayerInfo>& list) {
  return fmt::format("{} image{}, {:.1f} MiB", list.size(), list.size() == 1 ? "" : "s",
                     static_cast<double>(Total(list)) / (1 << 20));
}

std::string Line(const LayerInfo& info) {
  constexpr size_t kShortName = 12;
  return fmt::format("  {}  {:>8.1f} MiB  {:>6} entries  used {}  {}\n",
                     info.name.substr(0, kShortName),
                     static_cast<double>(info.image_bytes) / (1 << 20), info.entries,
                     When(info.used), info.directory);
}

Result<int> List(const Globals& globals, bool json) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const config::FactoryConfig& config = loaded.config.factory;
  const bool enabled = loaded.config.runtime.rootfs_layers;
  const LayerStore store = StoreOf(config);
  const std::vector<LayerInfo> list = KATA_TRY(store.List());
  // Without the directory there is nothing that could be too much.
  const uint64_t limit = store.Limit().value_or(0);
  const std::vector<std::string> failures = store.Failures();
  if (json) {
    return PrintJson({{"layers_path", config.layers_path},
                      {"rootfs_layers", enabled},
                      {"limit_bytes", limit},
                      {"image_bytes", Total(list)},
                      {"images", ToJson(list)},
                      {"failures", failures}});
  }
  std::string text = fmt::format("{} in {}, at most {} MiB{}\n", Count(list), config.layers_path,
                                 limit >> 20, enabled ? "" : " (rootfs_layers is off)");
  for (const LayerInfo& info : list) text += Line(info);
  for (const std::string& reason : failures) text += fmt::format("  not made: {}\n", reason);
  return Print(text);
}

Result<int> Prune(const Globals& globals, bool all, bool json) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const LayerStore store = StoreOf(loaded.config.factory);
  std::vector<LayerInfo> removed;
  if (sys::Exists(store.root())) {
    const uint64_t bytes = all ? 0 : KATA_TRY(store.Limit());
    removed = KATA_TRY(store.Prune(bytes, Deadline::After(kLockTime)));
  }
  if (json) return PrintJson({{"removed", ToJson(removed)}});
  return Print(Count(removed) + " removed\n");
}

Result<int> Build(const Globals& globals, const std::vector<std::string>& directories, bool json) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const LayerStore store = StoreOf(loaded.config.factory);
  std::vector<LayerInfo> built;
  int status = 0;
  for (const std::string& directory : directories) {
    const auto tell = [&](std::string_view step) {
      if (!json) Print(fmt::format("{}: {}\n", directory, step));
    };
    auto image = factory::BuildLayer(store, directory, tell);
    if (image) {
      built.push_back(std::move(image->info));
    } else {
      status = PrintError(image.error());
    }
  }
  const int printed = json ? PrintJson({{"images", ToJson(built)}}) : [&] {
    std::string text;
    for (const LayerInfo& info : built) text += Line(info);
    return Print(text);
  }();
  return status != 0 ? status : printed;
}

}  // namespace

void AddLayers(CLI::App& app, const Globals& globals, int* status) {
  CLI::App* command = app.add_subcommand("layers", "Images of layers, which roots are made of");
  command->require_subcommand(1);
  command->footer(
      "Nobody has to call this: with rootfs_layers in configuration.toml, the first container of "
      "an\n"
      "image has them made in the background, and the next ones read from them. Containers that "
      "run\n"
      "keep theirs, whatever is removed.\n"
      "\n"
      "Examples:\n"
      "  kata-runtime layers list --json   what there is, for programs\n"
      "  kata-runtime layers build /var/lib/docker/overlay2/4f*/diff\n"
      "                                    make them now\n"
      "  kata-runtime layers prune         remove those of deleted images, and down to the limit\n"
      "  kata-runtime layers prune --all   remove all\n");
  struct Options {
    bool json = false;
    bool all = false;
    std::vector<std::string> directories;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* list = command->add_subcommand("list", "Show the images, the last used first");
  Run(list, status, [&globals, options] { return List(globals, options->json); });
  CLI::App* prune = command->add_subcommand(
      "prune", "Remove images whose layers are gone, and those not used for longest");
  prune->add_flag("--all", options->all, "remove all images, not only down to the limit");
  Run(prune, status, [&globals, options] { return Prune(globals, options->all, options->json); });
  CLI::App* build = command->add_subcommand("build", "Make the images of layers now");
  build->add_option("DIR", options->directories, "directories that overlays take as lower ones")
      ->required();
  Run(build, status,
      [&globals, options] { return Build(globals, options->directories, options->json); });
  for (CLI::App* each : {list, prune, build}) {
    each->add_flag("--json", options->json, "print JSON");
  }
}

}  // namespace kata::cli
