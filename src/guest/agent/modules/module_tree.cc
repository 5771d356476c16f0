// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/modules/module_tree.h"

#include <fnmatch.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxIndexFile = 8 << 20;

// A tree of few modules may lack some of the files.
std::string ReadIndex(const std::string& path) {
  return sys::ReadFile(path, kMaxIndexFile).value_or("");
}

// Cuts the first line off `text`.
std::string_view TakeLine(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

// Cuts the first word off `line`; empty at its end.
std::string_view TakeWord(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

// As depmod writes aliases: `_` for `-`, but not in a set of characters.
std::string NormalizeAlias(std::string_view alias) {
  std::string normal(alias);
  bool in_set = false;
  for (char& c : normal) {
    if (c == '[') in_set = true;
    if (c == ']') in_set = false;
    if (c == '-' && !in_set) c = '_';
  }
  return normal;
}

std::optional<unsigned> ParseUnsigned(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "tun net/tun c10:200"
std::optional<DeviceName> ParseDeviceName(std::string_view line) {
  if (line.starts_with('#')) return std::nullopt;
  TakeWord(line);
  const std::string_view path = TakeWord(line);
  const std::string_view number = TakeWord(line);
  const size_t colon = number.find(':');
  if (path.empty() || path.find("..") != std::string_view::npos ||
      colon == std::string_view::npos) {
    return std::nullopt;
  }
  const auto major = ParseUnsigned(number.substr(1, colon - 1));
  const auto minor = ParseUnsigned(number.substr(colon + 1));
  const char kind = number.front();
  if (!major || !minor || (kind != 'b' && kind != 'c')) return std::nullopt;
  return DeviceName{
      .path = std::string(path), .block = kind == 'b', .major = *major, .minor = *minor};
}

}  // namespace

std::string ModuleName(std::string_view file) {
  file.remove_prefix(std::min(file.rfind('/') + 1, file.size()));
  if (const size_t ending = file.find(".ko"); ending != std::string_view::npos) {
    file = file.substr(0, ending);
  }
  std::string name(file);
  std::ranges::replace(name, '-', '_');
  return name;
}

Result<ModuleTree> ModuleTree::Open(std::string directory) {
  struct stat status{};
  if (::stat(directory.c_str(), &status) != 0) return FailErrno("stat", directory);
  ModuleTree tree(std::move(directory));
  tree.dependencies_ = ReadIndex(tree.directory_ + "/modules.dep");
  tree.aliases_ = ReadIndex(tree.directory_ + "/modules.alias");
  tree.built_in_ = ReadIndex(tree.directory_ + "/modules.builtin");
  return tree;
}

Result<ModuleTree> ModuleTree::OpenRunning() {
  utsname kernel{};
  if (::uname(&kernel) != 0) return FailErrno("uname");
  return Open(fmt::format("/lib/modules/{}", kernel.release));
}

bool ModuleTree::AddPlan(std::string_view module, std::vector<LoadPlan>* plans) const {
  for (std::string_view text = dependencies_; !text.empty();) {
    std::string_view line = TakeLine(text);
    const std::string_view file = line.substr(0, line.find(':'));
    if (ModuleName(file) != module) continue;
    line.remove_prefix(std::min(file.size() + 1, line.size()));
    LoadPlan plan{fmt::format("{}/{}", directory_, file)};
    for (std::string_view word = TakeWord(line); !word.empty(); word = TakeWord(line)) {
      plan.push_back(fmt::format("{}/{}", directory_, word));
    }
    // What has to be there first is last in the file.
    std::ranges::reverse(plan);
    plans->push_back(std::move(plan));
    return true;
  }
  return false;
}

bool ModuleTree::BuiltIn(std::string_view module) const {
  for (std::string_view text = built_in_; !text.empty();) {
    if (ModuleName(TakeLine(text)) == module) return true;
  }
  return false;
}

Result<std::vector<LoadPlan>> ModuleTree::Resolve(std::string_view wanted) const {
  std::vector<LoadPlan> plans;
  std::string name(wanted);
  std::ranges::replace(name, '-', '_');
  if (AddPlan(name, &plans) || BuiltIn(name)) return plans;
  const std::string alias = NormalizeAlias(wanted);
  bool known = false;
  for (std::string_view text = aliases_; !text.empty();) {
    std::string_view line = TakeLine(text);
    if (TakeWord(line) != "alias") continue;
    const std::string pattern = NormalizeAlias(TakeWord(line));
    if (::fnmatch(pattern.c_str(), alias.c_str(), 0) != 0) continue;
    known |= AddPlan(ModuleName(TakeWord(line)), &plans);
  }
  if (known) return plans;
  return Fail(Code::kNotFound, fmt::format("module \"{}\": not in {}", wanted, directory_));
}

std::vector<std::string> ModuleTree::BootModules() const {
  const std::string names = ReadIndex(directory_ + "/modules.boot");
  std::vector<std::string> modules;
  for (std::string_view text = names; !text.empty();) {
    std::string_view line = TakeLine(text);
    const std::string_view name = TakeWord(line);
    if (!name.empty() && !name.starts_with('#')) modules.emplace_back(name);
  }
  return modules;
}

std::vector<DeviceName> ModuleTree::DeviceNames() const {
  const std::string lines = ReadIndex(directory_ + "/modules.devname");
  std::vector<DeviceName> names;
  for (std::string_view text = lines; !text.empty();) {
    if (auto name = ParseDeviceName(TakeLine(text))) names.push_back(*std::move(name));
  }
  return names;
}

}  // namespace kata::guest
