// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime state and list.
#include <fcntl.h>
#include <pwd.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/command.h"
#include "host/cli/oci/network_report.h"
#include "host/cli/oci/sandbox_lookup.h"
#include "host/cli/oci/shim.h"
#include "host/record/root_report.h"
#include "host/record/size_report.h"
#include "host/record/timing.h"
#include "proto/control.pb.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

using nlohmann::ordered_json;

constexpr std::array kStateFlags = {
    Flag{"network", '\0', false, "how the sandbox is connected, instead of the state"},
    Flag{"timing", '\0', false, "where the time of the start went, instead of the state"},
    Flag{"size", '\0', false, "what the machine has of what was asked for, instead of the state"},
    Flag{"root", '\0', false, "what its root file system is made of, instead of the state"},
    Flag{"snapshot", '\0', false, "whether it can be saved, and why not, instead of the state"},
    Flag{"json", '\0', false, "with --network, --timing, --size, --root or --snapshot: as JSON"},
};

constexpr std::array kListFlags = {
    Flag{"format", 'f', true, "the form of the list", "table|json"},
    Flag{"quiet", 'q', false, "ids only"},
};

ordered_json Describe(const State& state, const std::string& status, const std::string& owner) {
  ordered_json json = {{"ociVersion", state.oci_version},
                       {"id", state.id},
                       {"pid", status == "stopped" ? 0 : state.pid},
                       {"status", status},
                       {"bundle", state.bundle},
                       {"rootfs", state.rootfs},
                       {"created", state.created}};
  if (!state.annotations.empty()) json["annotations"] = state.annotations;
  json["owner"] = owner;
  return json;
}

// The specification lets a state say more than it lists.
void AddShortage(const State& state, ordered_json* json) {
  const auto report = sandbox::LoadSizeReport(state.sandbox);
  if (!report || sandbox::DescribeShortage(*report).empty()) return;
  (*json)["machine"] = {{"memoryMiB", report->has.memory_mib},
                        {"memoryAskedForMiB", report->asked.memory_mib}};
}

std::string Dump(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

std::string TimingTable(const sandbox::StartTiming& timing) {
  std::string text;
  double total = 0;
  const auto add = [&](std::string_view part, const std::vector<sandbox::Phase>& phases) {
    for (const sandbox::Phase& phase : phases) {
      text += fmt::format("{:<8} {:<18} {:>8.1f} ms\n", part, phase.name, phase.millis);
      // The machine's phases are part of "boot".
      if (part != "machine") total += phase.millis;
    }
  };
  text += timing.from.empty() ? "the machine ran already\n"
                              : fmt::format("the machine began from: {}\n", timing.from);
  add("machine", timing.booted);
  add("create", timing.created);
  add("start", timing.started);
  return text + fmt::format("{:<8} {:<18} {:>8.1f} ms\n", "total", "", total);
}

Result<int> PrintSavable(const Arguments& arguments) {
  const FoundContainer container = KATA_TRY(FindContainer(arguments.words().front()));
  const auto shim = KATA_TRY(Shim::Connect(container.shim));
  control::CheckSavableRequest request;
  request.set_container_id(container.id);
  const auto answer =
      KATA_TRY(shim->CallSandbox<control::CheckSavableResponse>("CheckSavable", request));
  const bool savable = answer.refusal().empty();
  if (!arguments.On("json")) {
    KATA_TRY(Print(savable ? "can be saved: yes\n"
                           : fmt::format("can be saved: no: {}\n", answer.refusal())));
    return 0;
  }
  ordered_json json = {{"savable", savable}};
  if (!savable) json["reason"] = answer.refusal();
  KATA_TRY(Print(Dump(json, -1) + "\n"));
  return 0;
}

Result<int> PrintState(const Globals& globals, const Arguments& arguments) {
  if (arguments.On("network")) {
    // Of every sandbox of this host, containerd's as well.
    const auto endpoints = KATA_TRY(ReportNetwork(arguments.words().front()));
    KATA_TRY(
        Print(arguments.On("json") ? FormatNetworkJson(endpoints) : FormatNetworkTable(endpoints)));
    return 0;
  }
  if (arguments.On("timing")) {
    // Likewise.
    const auto timing = KATA_TRY(sandbox::LoadTiming(arguments.words().front()));
    KATA_TRY(
        Print(arguments.On("json") ? sandbox::FormatTiming(timing) + "\n" : TimingTable(timing)));
    return 0;
  }
  if (arguments.On("size")) {
    const auto record = KATA_TRY(FindRecord(arguments.words().front()));
    const auto report = KATA_TRY(sandbox::LoadSizeReport(record.id));
    KATA_TRY(Print(arguments.On("json") ? sandbox::FormatSizeReport(report) + "\n"
                                        : sandbox::FormatSizeTable(report)));
    return 0;
  }
  if (arguments.On("root")) {
    const auto words = KATA_TRY(sandbox::LoadRootReport(arguments.words().front()));
    KATA_TRY(Print(arguments.On("json") ? Dump({{"root", words}}, -1) + "\n" : words + "\n"));
    return 0;
  }
  if (arguments.On("snapshot")) return PrintSavable(arguments);
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const std::string status = KATA_TRY(StatusOf(state));
  ordered_json json = Describe(state, status, "");
  AddShortage(state, &json);
  KATA_TRY(Print(Dump(json, 2) + "\n"));
  return 0;
}

// The user's name as /etc/passwd has it.
std::string OwnerName(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  const bool known =
      ::getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr;
  return known ? entry.pw_name : fmt::format("#{}", uid);
}

// Columns as wide as their widest cell, at least 12, and a space behind each.
std::string Table(const std::vector<std::array<std::string, 6>>& rows) {
  std::array<size_t, 6> widths{};
  widths.fill(11);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      text += fmt::format("{:<{}} ", row[i], widths[i]);
    }
    text += row.back() + "\n";
  }
  return text;
}

Result<int> List(const Globals& globals, const Arguments& arguments) {
  const std::string format = arguments.Get("format", "table");
  if (format != "table" && format != "json") {
    return Fail(Code::kInvalidArgument, "invalid format option");
  }
  // The default one is made by the first container.
  if (globals.root_is_named)
    KATA_TRY_WITHIN("--root", sys::Open(globals.root, O_PATH | O_DIRECTORY));
  const std::vector<State> states = ListStates(globals.root);
  if (arguments.On("quiet")) {
    std::string text;
    for (const State& state : states) text += state.id + "\n";
    KATA_TRY(Print(text));
    return 0;
  }
  ordered_json array = states.empty() ? ordered_json() : ordered_json::array();
  std::vector<std::array<std::string, 6>> rows = {
      {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
  for (const State& state : states) {
    const std::string status = StatusOf(state).value_or("stopped");
    const std::string owner = OwnerName(state.owner);
    array.push_back(Describe(state, status, owner));
    rows.push_back({state.id, std::to_string(status == "stopped" ? 0 : state.pid), status,
                    state.bundle, state.created, owner});
  }
  KATA_TRY(Print(format == "json" ? Dump(array, -1) + "\n" : Table(rows)));
  return 0;
}

}  // namespace

const Command kState{
    .name = "state",
    .summary =
        "print a container's state as JSON, its network, its start's timing, its machine's size, "
        "what its root is, or whether it can be saved",
    .examples =
        "  kata-runtime state web            for programs\n"
        "  kata-runtime state --timing web   where the time of its start went\n"
        "  kata-runtime state --network web  how it is connected\n"
        "  kata-runtime state --size web     what its machine has of what was asked for\n"
        "  kata-runtime state --root web     what its root file system is made of\n"
        "  kata-runtime state --snapshot web whether it can be saved\n",
    .flags = kStateFlags,
    .run = PrintState};
const Command kList{.name = "list",
                    .words = "",
                    .summary = "list containers",
                    .examples =
                        "  kata-runtime list                a table\n"
                        "  kata-runtime list -q             ids only\n"
                        "  kata-runtime list --format json  for programs\n",
                    .flags = kListFlags,
                    .min_words = 0,
                    .max_words = 0,
                    .run = List};

}  // namespace kata::cli::oci
