// SPDX-License-Identifier: Apache-2.0
#include "metrics/histogram.h"

#include <algorithm>

#include "metrics/text.h"

namespace kata::metrics {

void HistogramSet::Observe(const std::vector<std::string>& values, double millis) {
  const MutexLock lock(mutex_);
  auto kind = kinds_.find(values);
  if (kind == kinds_.end()) {
    if (kinds_.size() >= kMostKinds) return;
    kind = kinds_.try_emplace(values).first;
  }
  Counts& counts = kind->second;
  const auto bound = std::ranges::lower_bound(kBounds, millis);
  if (bound != kBounds.end()) ++counts.up_to[static_cast<size_t>(bound - kBounds.begin())];
  ++counts.all;
  counts.sum += millis;
}

void HistogramSet::AddTo(Builder& builder) const {
  const MutexLock lock(mutex_);
  for (const auto& [values, counts] : kinds_) {
    std::vector<LabelView> labels;
    for (size_t i = 0; i < labels_.size() && i < values.size(); ++i) {
      labels.emplace_back(labels_[i], values[i]);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < kBounds.size(); ++i) {
      sum += counts.up_to[i];
      const std::string bound = FormatValue(kBounds[i]);
      labels.emplace_back("le", bound);
      builder.AddPart(name_, "_bucket", labels, static_cast<double>(sum));
      labels.pop_back();
    }
    labels.emplace_back("le", "+Inf");
    builder.AddPart(name_, "_bucket", labels, static_cast<double>(counts.all));
    labels.pop_back();
    builder.AddPart(name_, "_sum", labels, counts.sum);
    builder.AddPart(name_, "_count", labels, static_cast<double>(counts.all));
  }
}

}  // namespace kata::metrics
