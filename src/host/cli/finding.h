// SPDX-License-Identifier: Apache-2.0
//
// cli/finding.h - one line of `kata-runtime check`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kata::cli {

enum class Verdict {
  kOk,
  kNote,     // containers run, but something is slower or missing
  kProblem,  // no container can run
};

struct Finding {
  std::string name;
  Verdict verdict = Verdict::kOk;
  std::string detail;
  std::string remedy;  // what to do; empty when there is nothing to do
};

bool AnyProblem(const std::vector<Finding>& findings);

// "ok", "note" or "problem".
std::string_view WordOf(Verdict verdict);

// The finding's line, and its remedy below it.
std::string RenderLine(const Finding& finding, bool colours);

// A line for each finding, its remedy below it, and a conclusion.
std::string RenderText(const std::vector<Finding>& findings, bool colours);
// {"ok": ..., "checks": [{"name", "verdict", "detail", "remedy"}, ...]}
std::string RenderJson(const std::vector<Finding>& findings);

}  // namespace kata::cli
