// SPDX-License-Identifier: Apache-2.0
#include "host/config/annotations.h"

#include <fnmatch.h>
#include <regex.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "egress/policy.h"

namespace kata::config {
namespace {

constexpr std::string_view kAnnotationPrefix = "io.katacontainers.config.";
constexpr size_t kMaxName = 128;
constexpr size_t kMaxValue = 4096;

// Whether `pattern` matches the whole of `name`. Load() has refused patterns that do not compile.
bool Matches(const std::string& pattern, const std::string& name) {
  regex_t compiled;
  const std::string whole = "^(" + pattern + ")$";
  if (::regcomp(&compiled, whole.c_str(), REG_EXTENDED | REG_NOSUB) != 0) return false;
  const bool matches = ::regexec(&compiled, name.c_str(), 0, nullptr, 0) == 0;
  ::regfree(&compiled);
  return matches;
}

bool HasDotDot(std::string_view path) {
  return path.ends_with("/..") || path.find("/../") != path.npos;
}

bool IsValidPath(const std::string& path, const StringList& patterns) {
  if (HasDotDot(path)) return false;
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME) == 0;
  });
}

std::string WhereAllowed(const Loaded& loaded) {
  return loaded.files.empty() ? "configuration.toml" : loaded.files.front();
}

Result<void> Apply(Table table, const std::string& annotation, const std::string& name,
                   const std::string& text, Loaded* loaded) {
  const Key* key = FindAnnotation(table, name);
  const auto idle = KeysWithoutEffect(table);
  const bool has_no_effect =
      key == nullptr && std::find(idle.begin(), idle.end(), name) != idle.end();
  if (key == nullptr && !has_no_effect) {
    return Fail(Code::kInvalidArgument,
                fmt::format("annotation {}: no key that a pod may set", annotation));
  }
  if (table == Table::kHypervisor) KATA_TRY(CheckAllowed(annotation, name, *loaded));
  if (has_no_effect) {
    loaded->warnings.push_back(
        fmt::format("annotation {}: is known and has no effect here", annotation));
    return {};
  }
  const auto refuse = [&](Code code, std::string_view problem) {
    return Fail(code,
                fmt::format("annotation {} = \"{}\": {}", annotation, text.substr(0, 80), problem));
  };
  if (text.size() > kMaxValue) return refuse(Code::kInvalidArgument, "longer than 4096 bytes");
  if (key->valid_paths != nullptr && !IsValidPath(text, *key->valid_paths(loaded->config))) {
    return refuse(Code::kPermissionDenied, fmt::format("not among the valid paths for {} in {}",
                                                       key->name, WhereAllowed(*loaded)));
  }
  std::string value = text;
  if (key->append) {
    const std::string before = std::get<std::string>(Get(*key, loaded->config));
    if (!before.empty()) value = before + " " + text;
  }
  if (key->beside != nullptr) {
    Key own = *key;
    own.field = key->beside;
    if (auto set = SetFromText(own, value, &loaded->config); !set) {
      return refuse(Code::kInvalidArgument, set.error().message());
    }
    if (auto rules = egress::ParseRules({}, *key->beside(loaded->config)); !rules) {
      return refuse(Code::kInvalidArgument, rules.error().message());
    }
    return {};
  }
  const Value before = Get(*key, loaded->config);
  if (auto set = SetFromText(*key, value, &loaded->config); !set) {
    return refuse(Code::kInvalidArgument, set.error().message());
  }
  if (key->grants_rights && Get(*key, loaded->config) != before && before == Value(false)) {
    KATA_TRY(CheckAllowed(annotation, name, *loaded));
  }
  loaded->sources[&Canonical(*key)] = {"annotation " + annotation, 0};
  return {};
}

}  // namespace

Result<void> CheckAllowed(const std::string& annotation, const std::string& name,
                          const Loaded& loaded) {
  const StringList& patterns = loaded.config.hypervisor.enable_annotations;
  const bool allowed = std::any_of(patterns.begin(), patterns.end(),
                                   [&](const auto& pattern) { return Matches(pattern, name); });
  if (allowed) return {};
  return Fail(
      Code::kPermissionDenied,
      fmt::format("annotation {}: not allowed on this host; add \"{}\" to "
                  "enable_annotations in [{}] of {}",
                  annotation, name, loaded.TableOf(Table::kHypervisor), WhereAllowed(loaded)));
}

Result<void> ApplyAnnotations(const std::map<std::string, std::string>& annotations,
                              Loaded* loaded) {
  bool changed = false;
  for (const auto& [annotation, text] : annotations) {
    if (!annotation.starts_with(kAnnotationPrefix)) continue;
    const std::string shown = annotation.substr(0, kMaxName);
    std::string_view rest = std::string_view(annotation).substr(kAnnotationPrefix.size());
    const std::string_view name = rest.substr(0, rest.find('.'));
    const auto* table = std::find_if(std::begin(kTables), std::end(kTables), [&](Table each) {
      return AnnotationTable(each) == name && rest.size() > name.size();
    });
    if (table == std::end(kTables) || annotation.size() > kMaxName) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("annotation {}: no key that a pod may set", shown));
    }
    rest.remove_prefix(name.size() + 1);
    KATA_TRY(Apply(*table, annotation, std::string(rest), text, loaded));
    loaded->annotations[annotation] = text;
    changed = true;
  }
  return changed ? Settle(loaded) : Result<void>();
}

}  // namespace kata::config
