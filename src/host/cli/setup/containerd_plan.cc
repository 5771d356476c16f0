// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/containerd_plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "host/cli/setup/drop_in.h"
#include "host/config/render.h"
#include "host/config/toml_file.h"

namespace kata::cli::setup {
namespace {

using config::Setting;

constexpr std::string_view kOldCri = "io.containerd.grpc.v1.cri";
constexpr std::string_view kNewCri = "io.containerd.cri.v1.runtime";
constexpr std::string_view kBlockBegin = "# begin: kata-runtime setup\n";
constexpr std::string_view kBlockEnd = "# end: kata-runtime setup\n";
constexpr std::string_view kLineMark = "  # kata-runtime setup";
constexpr std::string_view kDefaultKey = "default_runtime_name";

std::string_view PluginOf(int version) { return version >= 3 ? kNewCri : kOldCri; }
std::string CriTable(std::string_view plugin) {
  return fmt::format("plugins.{}.containerd", plugin);
}

const Setting* FindSetting(const std::vector<Setting>& settings, std::string_view table,
                           std::string_view key) {
  const auto found = std::find_if(settings.begin(), settings.end(), [&](const Setting& each) {
    return each.table == table && each.key == key;
  });
  return found == settings.end() ? nullptr : &*found;
}

std::vector<std::string> ListOf(const std::vector<Setting>& settings, std::string_view key) {
  const Setting* setting = FindSetting(settings, "", key);
  if (setting == nullptr || !setting->value) return {};
  const auto* list = std::get_if<config::StringList>(&*setting->value);
  return list == nullptr ? config::StringList() : *list;
}

std::string DefaultTable(std::string_view plugin, const std::string& name) {
  return fmt::format("[plugins.\"{}\".containerd]\n{} = {}\n\n", plugin, kDefaultKey,
                     config::ToToml(name));
}

std::string HandlerTable(std::string_view plugin, const ContainerdRuntime& runtime) {
  return fmt::format(
      "[plugins.\"{}\".containerd.runtimes.{}]\n"
      "runtime_type = \"{}\"\n"
      "{}"
      "privileged_without_host_devices = true\n"
      "pod_annotations = [\"io.katacontainers.*\"]\n",
      plugin, runtime.name, kShimType,
      runtime.shim.empty() ? "" : fmt::format("runtime_path = {}\n", config::ToToml(runtime.shim)));
}

// The settings as pairs that can be compared; lists and strings in one spelling.
using SettingMap = std::map<std::pair<std::string, std::string>, std::string>;
SettingMap MapOf(const std::vector<Setting>& settings) {
  SettingMap map;
  for (const Setting& each : settings) {
    map[{each.table, each.key}] = each.value ? config::ToToml(*each.value) : "?";
  }
  return map;
}

// The text of a line, with its end.
std::string_view LineAt(std::string_view text, int number) {
  size_t begin = 0;
  for (int line = 1; line < number; ++line) {
    const size_t end = text.find('\n', begin);
    if (end == text.npos) return {};
    begin = end + 1;
  }
  return text.substr(begin, std::min(text.find('\n', begin), text.size() - 1) + 1 - begin);
}

// Whether a line is nothing but KEY = "one string", so that it can be replaced as a whole.
bool IsPlainSetting(std::string_view line) {
  const size_t equals = line.find('=');
  if (equals == line.npos) return false;
  const size_t open = line.find_first_not_of(" \t", equals + 1);
  if (open == line.npos || (line[open] != '"' && line[open] != '\'')) return false;
  const size_t close = line.find(line[open], open + 1);
  if (close == line.npos || line.substr(open + 1, close - open - 1).contains('\\')) return false;
  const size_t rest = line.find_first_not_of(" \t\r\n", close + 1);
  return line.substr(0, line.find_first_not_of(" \t")).size() + kDefaultKey.size() <= equals &&
         (rest == line.npos || line[rest] == '#');
}

std::string Replaced(std::string_view text, std::string_view line, const std::string& with) {
  const auto at = static_cast<size_t>(line.data() - text.data());
  return std::string(text).replace(at, line.size(), with);
}

std::string DefaultLine(std::string_view like, const std::string& name) {
  const size_t indent = std::min(like.find_first_not_of(" \t"), like.size());
  return fmt::format("{}{} = {}{}\n", like.substr(0, indent), kDefaultKey, config::ToToml(name),
                     kLineMark);
}

// Where a header of the table stands, however its words are quoted; empty where there is none.
std::string_view HeaderLine(std::string_view text, std::string_view plugin) {
  for (const char quote : {'"', '\''}) {
    const std::string header = fmt::format("[plugins.{0}{1}{0}.containerd]", quote, plugin);
    for (size_t at = text.find(header); at != text.npos; at = text.find(header, at + 1)) {
      const size_t newline = text.rfind('\n', at);
      const size_t begin = newline == text.npos ? 0 : newline + 1;
      const std::string_view line =
          text.substr(begin, std::min(text.find('\n', at), text.size() - 1) + 1 - begin);
      if (line.find_first_not_of(" \t") == at - begin && line.ends_with('\n')) return line;
    }
  }
  return {};
}

// `text` with our block, in the place of an earlier one or at the end.
std::string WithBlock(const std::string& text, std::optional<size_t> place,
                      const std::string& tables) {
  if (tables.empty()) return text;
  const std::string block = fmt::format("{}{}{}", kBlockBegin, tables, kBlockEnd);
  if (place) return std::string(text).insert(*place, block);
  std::string result = text;
  if (!result.empty() && !result.ends_with('\n')) result += '\n';
  if (!result.empty()) result += '\n';
  return result + block;
}

// A text without what setup put in, and where its block was.
struct Stripped {
  std::string text;
  std::optional<size_t> place;
};

Stripped Strip(std::string text, const std::optional<std::string>& before) {
  Stripped stripped;
  const size_t begin = text.find(kBlockBegin);
  const size_t end = begin == text.npos ? text.npos : text.find(kBlockEnd, begin);
  const size_t mark = text.find(kLineMark);
  if (end != text.npos) {
    stripped.place = begin;
    text.erase(begin, end + kBlockEnd.size() - begin);
  }
  if (mark != text.npos) {
    const size_t at = text.find(kLineMark);
    const size_t newline = text.rfind('\n', at);
    const size_t line_begin = newline == text.npos ? 0 : newline + 1;
    const size_t line_end = std::min(text.find('\n', at), text.size() - 1) + 1;
    std::string old_line;
    if (before) {
      const auto settings = config::ReadToml(*before, "");
      for (const Setting& each : settings.value_or(std::vector<Setting>())) {
        if (each.key == kDefaultKey) old_line = LineAt(*before, each.source.line);
      }
    }
    text.replace(line_begin, line_end - line_begin, old_line);
    if (stripped.place && *stripped.place > line_begin) {
      *stripped.place = *stripped.place - (line_end - line_begin) + old_line.size();
    }
  }
  stripped.text = std::move(text);
  return stripped;
}

bool IsAllowedChange(const std::pair<std::string, std::string>& where,
                     const ContainerdRuntime& runtime) {
  const auto& [table, key] = where;
  if (table.empty()) return key == "imports" || key == "version";
  for (const std::string_view plugin : {kOldCri, kNewCri}) {
    const std::string cri = CriTable(plugin);
    const std::string handler = fmt::format("{}.runtimes.{}", cri, runtime.name);
    if (table == handler || table.starts_with(handler + ".")) return true;
    if (runtime.make_default && table == cri && key == kDefaultKey) return true;
  }
  return false;
}

std::string Spelled(const std::pair<std::string, std::string>& where) {
  return where.first.empty() ? where.second : fmt::format("[{}] {}", where.first, where.second);
}

// The candidates for the default, in the order of preference; the first that parses is taken.
std::vector<std::string> WithDefault(const Stripped& base, std::string_view plugin,
                                     const ContainerdRuntime& runtime, const Setting* there,
                                     const std::string& handler) {
  if (there != nullptr) {
    const std::string_view line = LineAt(base.text, there->source.line);
    if (!IsPlainSetting(line)) return {};
    const std::string changed = Replaced(base.text, line, DefaultLine(line, runtime.name));
    std::optional<size_t> place = base.place;
    const auto at = static_cast<size_t>(line.data() - base.text.data());
    if (place && *place > at) *place += changed.size() - base.text.size();
    return {WithBlock(changed, place, handler)};
  }
  std::vector<std::string> candidates = {
      WithBlock(base.text, base.place, DefaultTable(plugin, runtime.name) + handler)};
  if (const std::string_view line = HeaderLine(base.text, plugin); !line.empty()) {
    const std::string added = DefaultLine(line, runtime.name);
    std::optional<size_t> place = base.place;
    const auto at = static_cast<size_t>(line.data() - base.text.data());
    if (place && *place > at) *place += added.size();
    candidates.push_back(
        WithBlock(Replaced(base.text, line, std::string(line) + added), place, handler));
  }
  return candidates;
}

// Whether `after` says what `before` does, with the handler and, where it is wanted, the default.
bool SaysTheSame(const std::vector<Setting>& before, const std::string& after,
                 std::string_view plugin, const ContainerdRuntime& runtime) {
  const auto parsed = config::ReadToml(after, "");
  const auto expected =
      config::ReadToml(HandlerTable(plugin, runtime) +
                           (runtime.make_default ? DefaultTable(plugin, runtime.name) : ""),
                       "");
  if (!parsed || !expected) return false;
  SettingMap wanted = MapOf(before);
  for (auto& [where, value] : MapOf(*expected)) wanted.insert_or_assign(where, value);
  return MapOf(*parsed) == wanted;
}

}  // namespace

Result<ContainerdFacts> ReadContainerd(const std::string& file, const std::string& text) {
  const auto settings = KATA_TRY(config::ReadToml(text, file));
  ContainerdFacts facts;
  if (const Setting* version = FindSetting(settings, "", "version"); version && version->value) {
    const auto* number = std::get_if<int64_t>(&*version->value);
    facts.version = number == nullptr ? 0 : static_cast<int>(*number);
  }
  for (const std::string& plugin : ListOf(settings, "disabled_plugins")) {
    facts.cri_is_disabled |= plugin == "cri" || plugin == kOldCri || plugin == kNewCri;
  }
  facts.imports = ListOf(settings, "imports");
  return facts;
}

std::string DropInDirOf(const std::vector<std::string>& imports) {
  constexpr std::string_view kPattern = "/*.toml";
  for (const std::string& pattern : imports) {
    if (!pattern.starts_with('/') || !pattern.ends_with(kPattern)) continue;
    const std::string dir = pattern.substr(0, pattern.size() - kPattern.size());
    if (dir.find_first_of("*?[") == dir.npos) return dir;
  }
  return "";
}

std::string ContainerdDropIn(int version, const ContainerdRuntime& runtime) {
  const std::string_view plugin = PluginOf(version);
  return fmt::format("{}version = {}\n\n{}{}", kDropInMark, version,
                     runtime.make_default ? DefaultTable(plugin, runtime.name) : "",
                     HandlerTable(plugin, runtime));
}

Result<std::string> PlanContainerd(const std::string& file, const std::string& text,
                                   const ContainerdRuntime& runtime,
                                   const std::optional<SetupRecord>& record) {
  const Stripped base = Strip(text, record ? record->before : std::nullopt);
  const auto settings = KATA_TRY(config::ReadToml(base.text, file));
  const ContainerdFacts facts = KATA_TRY(ReadContainerd(file, base.text));
  if (facts.version != 2 && facts.version != 3) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{}: version {} of the configuration is not one that can be added to; "
                            "\"containerd config migrate\" of containerd 2 prints a later one",
                            file, facts.version));
  }
  const std::string_view plugin = PluginOf(facts.version);
  const std::string cri = CriTable(plugin);
  const std::string handler_table = fmt::format("{}.runtimes.{}", cri, runtime.name);
  std::string handler = HandlerTable(plugin, runtime);
  for (const Setting& each : settings) {
    if (each.table != handler_table) continue;
    const Setting* type = FindSetting(settings, handler_table, "runtime_type");
    if (type == nullptr || type->value != config::Value(std::string(kShimType))) {
      return Fail(
          Code::kAlreadyExists,
          fmt::format("{}:{}: there is a runtime \"{}\" of another type; remove it there, or "
                      "choose another name with --name",
                      file, each.source.line, runtime.name));
    }
    handler.clear();
  }
  const Setting* there = FindSetting(settings, cri, kDefaultKey);
  const bool is_default = there && there->value == config::Value(runtime.name);
  std::vector<std::string> candidates;
  if (!runtime.make_default || is_default) {
    candidates = {WithBlock(base.text, base.place, handler)};
  } else {
    candidates = WithDefault(base, plugin, runtime, there, handler);
  }
  // A handler of the user's keeps what it says besides its type.
  for (const std::string& candidate : candidates) {
    if (handler.empty() ? config::ReadToml(candidate, "").has_value()
                        : SaysTheSame(settings, candidate, plugin, runtime)) {
      return candidate;
    }
  }
  return Fail(Code::kUnimplemented,
              fmt::format("{} is written in a form that cannot be added to for certain; add there "
                          "by hand:\n{}{}",
                          file, runtime.make_default ? DefaultTable(plugin, runtime.name) : "",
                          HandlerTable(plugin, runtime)));
}

std::string UnplanContainerd(const std::string& text, const SetupRecord& record) {
  const Stripped stripped = Strip(text, record.before);
  std::string rest = stripped.text;
  // The empty line that stood before the block.
  if (stripped.place && *stripped.place == rest.size() && rest.ends_with("\n\n")) rest.pop_back();
  return rest;
}

Result<void> CompareContainerdDumps(const std::string& before, const std::string& after,
                                    const ContainerdRuntime& runtime) {
  const SettingMap old_map = MapOf(KATA_TRY(config::ReadToml(before, "containerd config dump")));
  const SettingMap new_map = MapOf(KATA_TRY(config::ReadToml(after, "containerd config dump")));
  const auto refuse = [](const std::pair<std::string, std::string>& where) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("containerd would read something else as well: {} would change, so "
                            "nothing is changed",
                            Spelled(where)));
  };
  for (const auto& [where, value] : old_map) {
    const auto found = new_map.find(where);
    if ((found == new_map.end() || found->second != value) && !IsAllowedChange(where, runtime)) {
      return refuse(where);
    }
  }
  for (const auto& [where, value] : new_map) {
    if (!old_map.contains(where) && !IsAllowedChange(where, runtime)) return refuse(where);
  }
  bool has_handler = false;
  bool is_default = false;
  for (const std::string_view plugin : {kOldCri, kNewCri}) {
    const std::string cri = CriTable(plugin);
    has_handler |=
        new_map.contains({fmt::format("{}.runtimes.{}", cri, runtime.name), "runtime_type"});
    const auto found = new_map.find({cri, std::string(kDefaultKey)});
    is_default |= found != new_map.end() && found->second == config::ToToml(runtime.name);
  }
  if (has_handler && (is_default || !runtime.make_default)) return {};
  return Fail(
      Code::kFailedPrecondition,
      fmt::format("containerd would not see the runtime \"{}\"{}: another of its files says "
                  "something else",
                  runtime.name, has_handler ? " as its default" : ""));
}

}  // namespace kata::cli::setup
