// SPDX-License-Identifier: Apache-2.0
//
// metrics/builder.h - putting figures together by their names in the catalogue.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/metrics.pb.h"

namespace kata::metrics {

using LabelView = std::pair<std::string_view, std::string_view>;
using Labels = std::initializer_list<LabelView>;

// Families come in the order in which they got their first sample; nothing is checked for doubles.
class Builder {
 public:
  // `name` is one of the catalogue's.
  void Add(std::string_view name, Labels labels, double value);
  // One of a histogram's lines.
  void AddPart(std::string_view name, std::string_view suffix, const std::vector<LabelView>& labels,
               double value);
  // All of `more`, with a label more where `label` has a name. A family that is here already keeps
  // its help and type. At most `most` samples; how many were left out.
  size_t AddAll(const Metrics& more, const LabelView& label = {}, size_t most = SIZE_MAX);

  Metrics Take();

 private:
  Family& FamilyOf(std::string_view name);

  Metrics metrics_;
  std::map<std::string, int, std::less<>> places_;
};

// Whether Prometheus would take it for a metric's name, and it is no longer than 128 letters.
bool IsMetricName(std::string_view name);
// Likewise a label's, that is none of Prometheus' own.
bool IsLabelName(std::string_view name);

}  // namespace kata::metrics
