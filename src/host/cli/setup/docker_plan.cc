// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/docker_plan.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/setup/json_text.h"
#include "host/cli/setup/running_daemon.h"

namespace kata::cli::setup {
namespace {

using DockerJson = nlohmann::ordered_json;

constexpr std::string_view kRuntimes = "runtimes";
constexpr std::string_view kDefaultRuntime = "default-runtime";
constexpr int kFirstWithShims = 23;

constexpr std::array kDefaultPath = {kDefaultRuntime};
constexpr std::array kRuntimesPath = {kRuntimes};

std::array<std::string_view, 2> RuntimePath(const std::string& name) { return {kRuntimes, name}; }

// An empty file is one that Docker 20.10 does not load again; for others it is no settings.
std::string TextOrEmptyObject(const std::optional<std::string>& text) {
  if (!text || text->find_first_not_of(" \t\r\n") == std::string::npos) return "{}\n";
  return *text;
}

// Whether an entry that is there does what ours would, perhaps with options of the user's.
bool ServesAs(const std::string& there, const std::string& wanted) {
  const DockerJson have = DockerJson::parse(there);
  const DockerJson want = DockerJson::parse(wanted);
  if (!have.is_object()) return false;
  return std::all_of(want.items().begin(), want.items().end(), [&](const auto& item) {
    return have.contains(item.key()) && have[item.key()] == item.value();
  });
}

// What setup's last text has for the runtime, when a record is about the same one.
std::optional<std::string> EntryOfRecord(const std::optional<SetupRecord>& record,
                                         const std::string& name) {
  if (!record || record->name != name) return std::nullopt;
  return GetMember(record->written, RuntimePath(name)).value_or(std::nullopt);
}

std::optional<std::string> MemberOf(const std::optional<std::string>& text, JsonPath path) {
  if (!text || !CheckJsonObject(*text, "")) return std::nullopt;
  return GetMember(*text, path).value_or(std::nullopt);
}

Result<std::string> PlanEntry(const std::string& text, const DockerRuntime& runtime,
                              const std::optional<SetupRecord>& record) {
  const auto path = RuntimePath(runtime.name);
  const auto there = KATA_TRY(GetMember(text, path));
  if (there && ServesAs(*there, runtime.entry)) return text;
  if (there && there != EntryOfRecord(record, runtime.name)) {
    return Fail(
        Code::kAlreadyExists,
        fmt::format("it has a runtime \"{}\" that is {}, not {}; remove it there, or choose "
                    "another name with --name",
                    runtime.name, *there, runtime.entry));
  }
  return SetMember(text, path, runtime.entry);
}

}  // namespace

std::string DockerRuntimeEntry(int major, const KataPrograms& programs, bool shim_is_in_path) {
  if (major < kFirstWithShims) return DockerJson{{"path", programs.runtime}}.dump();
  return DockerJson{{"runtimeType", shim_is_in_path ? std::string(kShimType) : programs.shim}}
      .dump();
}

Result<std::string> PlanDocker(const std::string& file, const std::optional<std::string>& text,
                               const DockerRuntime& runtime,
                               const std::optional<SetupRecord>& record) {
  std::string planned = TextOrEmptyObject(text);
  KATA_TRY(CheckJsonObject(planned, file));
  planned = KATA_TRY_WITHIN(file, PlanEntry(planned, runtime, record));
  if (!runtime.make_default) return planned;
  return KATA_TRY_WITHIN(file, SetMember(planned, kDefaultPath, DockerJson(runtime.name).dump()));
}

Result<std::optional<std::string>> UnplanDocker(const std::string& text,
                                                const SetupRecord& record) {
  KATA_TRY(CheckJsonObject(text, record.path));
  std::string rest = text;
  const auto path = RuntimePath(record.name);
  const auto ours = MemberOf(record.written, path);
  if (ours && !MemberOf(record.before, path) && KATA_TRY(GetMember(rest, path)) == ours) {
    rest = KATA_TRY(RemoveMember(rest, path));
    if (KATA_TRY(GetMember(rest, kRuntimesPath)) == "{}" &&
        !MemberOf(record.before, kRuntimesPath)) {
      rest = KATA_TRY(RemoveMember(rest, kRuntimesPath));
    }
  }
  const auto before = MemberOf(record.before, kDefaultPath);
  const auto written = MemberOf(record.written, kDefaultPath);
  if (written != before && KATA_TRY(GetMember(rest, kDefaultPath)) == written) {
    rest = before ? KATA_TRY(SetMember(rest, kDefaultPath, *before))
                  : KATA_TRY(RemoveMember(rest, kDefaultPath));
  }
  if (!record.before && DockerJson::parse(rest).empty()) return std::nullopt;
  return rest;
}

DockerExpectation ExpectOfDocker(const std::optional<std::string>& text, const std::string& name) {
  return {.has_runtime = MemberOf(text, RuntimePath(name)).has_value(),
          .is_default = MemberOf(text, kDefaultPath) == DockerJson(name).dump()};
}

std::optional<std::string> InterimDocker(const std::optional<std::string>& text,
                                         bool default_is_flag) {
  const std::string whole = TextOrEmptyObject(text);
  if (!CheckJsonObject(whole, "")) return std::nullopt;
  std::string interim = whole;
  const auto add = [&interim](JsonPath path, std::string_view value) {
    if (MemberOf(interim, path)) return;
    interim = SetMember(interim, path, value).value_or(interim);
  };
  add(kRuntimesPath, "{}");
  if (!default_is_flag) add(kDefaultPath, "\"runc\"");
  if (interim == whole) return std::nullopt;
  return interim;
}

Result<void> CheckDockerArguments(const std::vector<std::string>& argv,
                                  const DockerRuntime& runtime) {
  if (const auto value = FlagValue(argv, kDefaultRuntime); value && runtime.make_default) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("dockerd is started with --default-runtime {} and would not start with "
                            "a default in its file as well; take that option out of its unit first",
                            *value));
  }
  for (const std::string& value : FlagValues(argv, "add-runtime")) {
    if (!value.starts_with(runtime.name + "=")) continue;
    return Fail(Code::kFailedPrecondition,
                fmt::format("dockerd is started with --add-runtime {}; take that option out of its "
                            "unit first, or choose another name with --name",
                            value));
  }
  return {};
}

std::string DockerAddress(const std::vector<std::string>& argv,
                          const std::optional<std::string>& text) {
  std::vector<std::string> hosts = FlagValues(argv, "host", 'H');
  constexpr std::array<std::string_view, 1> kHosts = {"hosts"};
  if (const auto value = MemberOf(text, kHosts)) {
    for (const DockerJson& host : DockerJson::parse(*value)) {
      if (host.is_string()) hosts.push_back(host.get<std::string>());
    }
  }
  for (const std::string& host : hosts) {
    if (host.starts_with("unix:///")) return host;
  }
  return "unix:///var/run/docker.sock";
}

}  // namespace kata::cli::setup
