// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime snapshot: containers that were saved while they ran, by name.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "host/cli/command.h"
#include "host/cli/oci/sandbox_lookup.h"
#include "host/cli/oci/shim.h"
#include "host/snapshot/compatible.h"
#include "host/snapshot/read.h"
#include "host/snapshot/store.h"
#include "proto/control.pb.h"

namespace kata::cli {
namespace {

using Json = nlohmann::ordered_json;
using snapshot::Manifest;
using snapshot::Store;

struct SnapshotOptions {
  bool json = false;
  bool stop = false;
  bool leave_running = false;
  std::string container;
  std::string name;
  std::vector<std::string> names;
};

Store StoreOf(const config::Config& config) {
  return {config.snapshot.path, config.snapshot.quota_mb};
}

double Mib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// Names may be anything where a manifest was made by hand, and a terminal would obey it.
std::string Printable(std::string text) {
  constexpr char kDelete = 0x7f;
  for (char& c : text) {
    if ((c >= 0 && c < ' ') || c == kDelete) c = '?';
  }
  return text;
}

Result<int> CreateSnapshot(const SnapshotOptions& options) {
  const oci::FoundContainer container = KATA_TRY(oci::FindContainer(options.container));
  const auto shim = KATA_TRY(oci::Shim::Connect(container.shim));
  control::SaveSnapshotRequest request;
  request.set_container_id(container.id);
  request.set_name(options.name);
  request.set_stop(options.stop);
  const auto saved =
      KATA_TRY(shim->CallSandbox<control::SaveSnapshotResponse>("SaveSnapshot", request));
  if (!options.json) return Print(saved.name() + "\n");
  return PrintJson({{"name", saved.name()},
                    {"path", fmt::format("{}/{}", saved.store(), saved.name())},
                    {"bytes", saved.bytes()}});
}

Json ToJson(const Store::Entry& entry) {
  Json json{{"name", entry.id}, {"bytes", entry.bytes}, {"used", entry.used}};
  if (entry.manifest) {
    json["created"] = entry.manifest->created;
    json["sandbox"] = entry.manifest->sandbox_id;
    json["containers"] = entry.manifest->containers;
  } else {
    json["error"] = entry.manifest.error().message();
  }
  return json;
}

std::string Line(const Store::Entry& entry) {
  const std::string what = entry.manifest ? fmt::format("{}  of {}", When(entry.manifest->created),
                                                        fmt::join(entry.manifest->containers, ", "))
                                          : entry.manifest.error().message();
  return fmt::format("  {:<32}  {:>8.1f} MiB  {}\n", entry.id, Mib(entry.bytes), Printable(what));
}

Result<int> ListSnapshots(const Globals& globals, bool json) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const Store store = StoreOf(loaded.config);
  const std::vector<Store::Entry> list = store.List();
  // Without the directory there is nothing that could be too much.
  const uint64_t quota = store.Quota().value_or(0);
  uint64_t bytes = 0;
  for (const Store::Entry& entry : list) bytes += entry.bytes;
  if (json) {
    Json snapshots = Json::array();
    for (const Store::Entry& entry : list) snapshots.push_back(ToJson(entry));
    return PrintJson({{"path", store.root()},
                      {"quota_bytes", quota},
                      {"bytes", bytes},
                      {"snapshots", std::move(snapshots)}});
  }
  std::string text =
      fmt::format("{} snapshot{}, {:.1f} MiB, in {}, at most {} MiB\n", list.size(),
                  list.size() == 1 ? "" : "s", Mib(bytes), store.root(), quota >> 20);
  for (const Store::Entry& entry : list) text += Line(entry);
  return Print(text);
}

Json Describe(const Manifest& manifest, const Result<void>& goes_on) {
  const hypervisor::MachineShape& machine = manifest.machine;
  Json json{{"name", manifest.id},
            {"created", manifest.created},
            {"sandbox", manifest.sandbox_id},
            {"containers", manifest.containers},
            {"bytes", manifest.bytes()},
            {"vmm", fmt::format("{} {}", manifest.origin.vmm, manifest.origin.vmm_version)},
            {"kvm", machine.accelerator == hypervisor::AcceleratorKind::kKvm},
            {"processors", machine.vcpus},
            {"guest_kernel", manifest.origin.guest_kernel},
            {"made_by", manifest.origin.build},
            {"disks", Json::array()},
            {"goes_on_here", goes_on.has_value()}};
  uint64_t memory_mib = 0;
  for (const snapshot::MemoryFile& part : manifest.memory) memory_mib += part.size_mib;
  json["memory_mib"] = memory_mib;
  for (const snapshot::DiskFile& disk : manifest.disks) {
    json["disks"].push_back({{"id", disk.id}, {"bytes", disk.bytes}});
  }
  if (!goes_on) json["reason"] = goes_on.error().message();
  return json;
}

std::string Describe(const Json& json) {
  std::string text;
  for (const auto& [name, value] : json.items()) {
    if (name == "created") {
      text += fmt::format("{:<14} {}\n", name, When(value.get<int64_t>()));
    } else {
      text += fmt::format("{:<14} {}\n", name,
                          Printable(value.is_string() ? value.get<std::string>() : value.dump()));
    }
  }
  return text;
}

Result<int> InspectSnapshot(const Globals& globals, const SnapshotOptions& options) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const auto opened = KATA_TRY(StoreOf(loaded.config).Open(options.name));
  const Json json =
      Describe(opened.manifest, snapshot::CheckGoesOn(loaded.config, opened.manifest));
  return options.json ? PrintJson(json) : Print(Describe(json));
}

// Does `work` with each, and tells all that went wrong.
Result<int> ForEach(const std::vector<std::string>& names,
                    const std::function<Result<void>(const std::string& name)>& work) {
  int status = 0;
  for (const std::string& name : names) {
    if (const auto done = work(name); !done) status = PrintError(done.error());
  }
  return status;
}

Result<int> RemoveSnapshots(const Globals& globals, const SnapshotOptions& options) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const Store store = StoreOf(loaded.config);
  return ForEach(options.names, [&](const std::string& name) { return store.Remove(name); });
}

Result<int> VerifySnapshots(const Globals& globals, const SnapshotOptions& options) {
  const auto loaded = KATA_TRY(LoadConfig(globals));
  const Store store = StoreOf(loaded.config);
  std::vector<std::string> names = options.names;
  if (names.empty()) {
    for (const Store::Entry& entry : store.List()) names.push_back(entry.id);
  }
  return ForEach(names, [&](const std::string& name) -> Result<void> {
    const auto opened = KATA_TRY(snapshot::Snapshot::Open(store, name));
    KATA_TRY(opened.Verify());
    Print(fmt::format("{}: is what was saved\n", name));
    return {};
  });
}

constexpr char kSnapshotFooter[] =
    "A container is saved while it runs, with its machine, and others begin from there: each an\n"
    "ordinary container with an annotation that names the snapshot, which enable_annotations in\n"
    "configuration.toml has to allow (\"snapshot\").\n"
    "\n"
    "Examples:\n"
    "  kata-runtime snapshot create web warm         save the container web, which goes on\n"
    "  kata-runtime snapshot create --stop web warm  save it, and end it\n"
    "  ctr run -d --runtime io.containerd.kata.v2 --snapshotter blockfile \\\n"
    "      --annotation io.katacontainers.snapshot=warm IMAGE web2\n"
    "                                                another one, which goes on from there\n"
    "  kata-runtime snapshot inspect --json warm     what it is, and whether it can go on here\n"
    "  kata-runtime snapshot verify                  whether all are what was saved\n"
    "  kata-runtime snapshot remove warm             containers that began from it live on\n";

void AddSnapshotCreate(CLI::App& command, const std::shared_ptr<SnapshotOptions>& options,
                       int* status) {
  CLI::App* create = command.add_subcommand("create", "Save a container that runs");
  create->add_option("CONTAINER", options->container, "id of a container, whoever started it")
      ->required();
  create->add_option("NAME", options->name, "of the snapshot; one is made up where none is given");
  CLI::Option* stop = create->add_flag("--stop", options->stop, "the container ends with it");
  create->add_flag("--leave-running", options->leave_running, "the container goes on (the default)")
      ->excludes(stop);
  create->add_flag("--json", options->json, "print JSON");
  Run(create, status, [options] { return CreateSnapshot(*options); });
}

}  // namespace

void AddSnapshot(CLI::App& app, const Globals& globals, int* status) {
  CLI::App* command =
      app.add_subcommand("snapshot", "Save containers that run, and see what was saved");
  command->require_subcommand(1);
  command->footer(kSnapshotFooter);
  const auto options = std::make_shared<SnapshotOptions>();
  AddSnapshotCreate(*command, options, status);
  CLI::App* list = command->add_subcommand("list", "Show the snapshots, the last used first");
  list->add_flag("--json", options->json, "print JSON");
  Run(list, status, [&globals, options] { return ListSnapshots(globals, options->json); });
  CLI::App* inspect =
      command->add_subcommand("inspect", "Show what a snapshot is, and whether it can go on here");
  inspect->add_option("NAME", options->name, "a snapshot")->required();
  inspect->add_flag("--json", options->json, "print JSON");
  Run(inspect, status, [&globals, options] { return InspectSnapshot(globals, *options); });
  CLI::App* remove = command->add_subcommand("remove", "Remove snapshots");
  remove->add_option("NAME", options->names, "snapshots")->required();
  Run(remove, status, [&globals, options] { return RemoveSnapshots(globals, *options); });
  CLI::App* verify =
      command->add_subcommand("verify", "Read snapshots, and compare them with their checksums");
  verify->add_option("NAME", options->names, "snapshots; all where none is named");
  Run(verify, status, [&globals, options] { return VerifySnapshots(globals, *options); });
}

}  // namespace kata::cli
