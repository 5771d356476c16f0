// SPDX-License-Identifier: Apache-2.0
#include "metrics/text.h"

#include <cmath>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

namespace kata::metrics {
namespace {

void AppendEscaped(std::string_view text, bool quotes, std::string* out) {
  for (const char c : text) {
    if (c == '\\') {
      *out += "\\\\";
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '"' && quotes) {
      *out += "\\\"";
    } else {
      *out += c;
    }
  }
}

std::string_view TypeWord(FamilyType type) {
  switch (type) {
    case GAUGE:
      return "gauge";
    case COUNTER:
      return "counter";
    case HISTOGRAM:
      return "histogram";
    default:
      return "untyped";
  }
}

void AppendValue(double value, std::string* out) {
  if (std::isnan(value)) {
    *out += "NaN";
  } else if (std::isinf(value)) {
    *out += value > 0 ? "+Inf" : "-Inf";
  } else {
    fmt::format_to(std::back_inserter(*out), "{}", value);
  }
}

void AppendSample(const Family& family, const Sample& sample, std::string* out) {
  *out += family.name();
  *out += sample.suffix();
  char before = '{';
  for (const Label& label : sample.labels()) {
    *out += before;
    before = ',';
    *out += label.name();
    *out += "=\"";
    AppendEscaped(label.value(), true, out);
    *out += '"';
  }
  if (before == ',') *out += '}';
  *out += ' ';
  AppendValue(sample.value(), out);
  *out += '\n';
}

}  // namespace

std::string FormatValue(double value) {
  std::string text;
  AppendValue(value, &text);
  return text;
}

std::string FormatText(const Metrics& metrics) {
  std::string text;
  for (const Family& family : metrics.families()) {
    if (!family.help().empty()) {
      text += fmt::format("# HELP {} ", family.name());
      AppendEscaped(family.help(), false, &text);
      text += '\n';
    }
    text += fmt::format("# TYPE {} {}\n", family.name(), TypeWord(family.type()));
    for (const Sample& sample : family.samples()) AppendSample(family, sample, &text);
  }
  return text;
}

}  // namespace kata::metrics
