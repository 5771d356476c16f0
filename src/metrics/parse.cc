// SPDX-License-Identifier: Apache-2.0
#include "metrics/parse.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "metrics/builder.h"
#include "metrics/catalogue.h"

namespace kata::metrics {
namespace {

// Takes a name off the beginning; empty: there is none.
std::string_view TakeName(std::string_view* text) {
  const size_t end = std::min(text->find_first_of("{} \t=,\""), text->size());
  const std::string_view name = text->substr(0, end);
  text->remove_prefix(end);
  return name;
}

void SkipSpace(std::string_view* text) {
  while (text->starts_with(' ') || text->starts_with('\t')) text->remove_prefix(1);
}

// The value of a label from behind its opening quote, and the closing one with it.
std::optional<std::string> TakeQuoted(std::string_view* text) {
  std::string value;
  while (!text->empty()) {
    char c = text->front();
    text->remove_prefix(1);
    if (c == '"') return value;
    if (c == '\\') {
      if (text->empty()) return std::nullopt;
      c = text->front();
      text->remove_prefix(1);
      if (c != '\\' && c != '"') return std::nullopt;
    }
    if (c < ' ' || c > '~' || value.size() >= kMostGuestLabelValue) return std::nullopt;
    value += c;
  }
  return std::nullopt;
}

using LabelMap = std::map<std::string, std::string>;

std::optional<LabelMap> TakeLabels(std::string_view* text) {
  LabelMap labels;
  if (!text->starts_with('{')) return labels;
  text->remove_prefix(1);
  while (!text->starts_with('}')) {
    const std::string_view name = TakeName(text);
    if (!IsLabelName(name) || name == "sandbox_id" || !text->starts_with("=\"")) {
      return std::nullopt;
    }
    text->remove_prefix(2);
    const auto value = TakeQuoted(text);
    if (!value || labels.size() >= kMostGuestLabels) return std::nullopt;
    if (!labels.emplace(name, *value).second) return std::nullopt;
    if (text->starts_with(',')) text->remove_prefix(1);
  }
  text->remove_prefix(1);
  return labels;
}

// A number of the guest's, without the time that may stand behind it.
std::optional<double> TakeValue(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  if (end != text.data() + text.size() && *end != ' ') return std::nullopt;
  return value;
}

class Reader {
 public:
  explicit Reader(std::span<const std::string_view> prefixes) : prefixes_(prefixes) {}

  void Read(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) return;
    const bool fine = line.starts_with('#') ? ReadComment(line) : ReadSample(line);
    if (!fine) ++refused_;
  }
  size_t refused() const { return refused_; }
  Metrics Take() {
    Metrics metrics;
    for (auto& [name, family] : families_) *metrics.add_families() = std::move(family);
    return metrics;
  }

 private:
  bool IsWanted(std::string_view name) const {
    return IsMetricName(name) && std::ranges::any_of(prefixes_, [&](std::string_view prefix) {
             return name.starts_with(prefix);
           });
  }

  // Only types are of interest, and those of wanted names.
  bool ReadComment(std::string_view line) {
    constexpr std::string_view kType = "# TYPE ";
    if (!line.starts_with(kType)) return true;
    line.remove_prefix(kType.size());
    const std::string_view name = TakeName(&line);
    if (!IsWanted(name) || types_.size() >= kMostGuestFamilies) return false;
    SkipSpace(&line);
    if (line == "gauge") types_[std::string(name)] = GAUGE;
    if (line == "counter") types_[std::string(name)] = COUNTER;
    return true;
  }

  bool ReadSample(std::string_view line) {
    const std::string_view name = TakeName(&line);
    if (!IsWanted(name) || samples_ >= kMostGuestSamples) return false;
    SkipSpace(&line);
    auto labels = TakeLabels(&line);
    if (!labels) return false;
    SkipSpace(&line);
    const auto value = TakeValue(line);
    if (!value) return false;
    auto family = families_.find(name);
    if (family == families_.end()) {
      if (families_.size() >= kMostGuestFamilies) return false;
      family = families_.emplace(std::string(name), Begin(name)).first;
    }
    // Prometheus throws the whole scrape away for one that comes twice.
    if (!seen_[family->first].insert(*labels).second) return false;
    Sample& sample = *family->second.add_samples();
    sample.set_value(*value);
    for (const auto& [label, text] : *labels) {
      Label& to = *sample.add_labels();
      to.set_name(label);
      to.set_value(text);
    }
    ++samples_;
    return true;
  }

  Family Begin(std::string_view name) const {
    Family family;
    family.set_name(std::string(name));
    if (const Description* known = FindDescription(name)) {
      family.set_help(std::string(known->help));
      family.set_type(known->type);
    } else if (const auto type = types_.find(name); type != types_.end()) {
      family.set_type(type->second);
    }
    return family;
  }

  const std::span<const std::string_view> prefixes_;
  std::map<std::string, FamilyType, std::less<>> types_;
  std::map<std::string, Family, std::less<>> families_;
  std::map<std::string, std::set<LabelMap>> seen_;
  size_t samples_ = 0;
  size_t refused_ = 0;
};

}  // namespace

Parsed ParseGuestText(std::string_view text, std::span<const std::string_view> prefixes) {
  Reader reader(prefixes);
  text = text.substr(0, kMostGuestText);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    reader.Read(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {.metrics = reader.Take(), .refused = reader.refused()};
}

}  // namespace kata::metrics
