// SPDX-License-Identifier: Apache-2.0
#include "metrics/builder.h"

#include <algorithm>

#include "metrics/catalogue.h"

namespace kata::metrics {
namespace {

constexpr size_t kMostLetters = 128;

bool IsName(std::string_view name, bool colons) {
  if (name.empty() || name.size() > kMostLetters) return false;
  if (name[0] >= '0' && name[0] <= '9') return false;
  return std::ranges::all_of(name, [colons](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (colons && c == ':');
  });
}

void SetLabel(Sample& sample, const LabelView& from) {
  Label& label = *sample.add_labels();
  label.set_name(std::string(from.first));
  label.set_value(std::string(from.second));
}

}  // namespace

bool IsMetricName(std::string_view name) { return IsName(name, true); }
bool IsLabelName(std::string_view name) { return IsName(name, false) && !name.starts_with("__"); }

Family& Builder::FamilyOf(std::string_view name) {
  if (const auto found = places_.find(name); found != places_.end()) {
    return *metrics_.mutable_families(found->second);
  }
  places_.emplace(name, metrics_.families_size());
  Family& family = *metrics_.add_families();
  family.set_name(std::string(name));
  if (const Description* known = FindDescription(name)) {
    family.set_help(std::string(known->help));
    family.set_type(known->type);
  }
  return family;
}

void Builder::Add(std::string_view name, Labels labels, double value) {
  Sample& sample = *FamilyOf(name).add_samples();
  for (const LabelView& label : labels) SetLabel(sample, label);
  sample.set_value(value);
}

void Builder::AddPart(std::string_view name, std::string_view suffix,
                      const std::vector<LabelView>& labels, double value) {
  Sample& sample = *FamilyOf(name).add_samples();
  sample.set_suffix(std::string(suffix));
  for (const LabelView& label : labels) SetLabel(sample, label);
  sample.set_value(value);
}

size_t Builder::AddAll(const Metrics& more, const LabelView& label, size_t most) {
  size_t taken = 0;
  size_t left_out = 0;
  for (const Family& from : more.families()) {
    if (from.samples_size() == 0) continue;
    const auto count = static_cast<size_t>(from.samples_size());
    if (!IsMetricName(from.name()) || taken + count > most) {
      left_out += count;
      continue;
    }
    taken += count;
    const bool is_new = !places_.contains(from.name());
    Family& to = FamilyOf(from.name());
    if (is_new) {
      to.set_help(from.help());
      to.set_type(from.type());
    }
    for (const Sample& sample : from.samples()) {
      Sample& copy = *to.add_samples();
      copy = sample;
      if (!label.first.empty()) SetLabel(copy, label);
    }
  }
  return left_out;
}

Metrics Builder::Take() {
  places_.clear();
  return std::exchange(metrics_, Metrics());
}

}  // namespace kata::metrics
