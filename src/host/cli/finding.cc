// SPDX-License-Identifier: Apache-2.0
#include "host/cli/finding.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace kata::cli {
namespace {

struct Appearance {
  std::string_view word;
  std::string_view colour;
};

Appearance AppearanceOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return {"ok", "\033[32m"};
    case Verdict::kNote:
      return {"note", "\033[33m"};
    case Verdict::kProblem:
      break;
  }
  return {"problem", "\033[31m"};
}

std::string Conclusion(const std::vector<Finding>& findings) {
  const auto problems = std::count_if(findings.begin(), findings.end(), [](const Finding& f) {
    return f.verdict == Verdict::kProblem;
  });
  if (problems == 0) return "This host can run containers with kata.\n";
  return fmt::format("This host cannot run containers with kata: {} problem{} to solve.\n",
                     problems, problems == 1 ? "" : "s");
}

}  // namespace

bool AnyProblem(const std::vector<Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& f) { return f.verdict == Verdict::kProblem; });
}

std::string_view WordOf(Verdict verdict) { return AppearanceOf(verdict).word; }

std::string RenderLine(const Finding& finding, bool colours) {
  const Appearance appearance = AppearanceOf(finding.verdict);
  std::string text =
      fmt::format("{}{:<8}{} {:<15} {}\n", colours ? appearance.colour : "", appearance.word,
                  colours ? "\033[0m" : "", finding.name, finding.detail);
  if (!finding.remedy.empty()) text += fmt::format("{:25}to mend: {}\n", "", finding.remedy);
  return text;
}

std::string RenderText(const std::vector<Finding>& findings, bool colours) {
  std::string text;
  for (const Finding& finding : findings) text += RenderLine(finding, colours);
  return text + "\n" + Conclusion(findings);
}

std::string RenderJson(const std::vector<Finding>& findings) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    checks.push_back({{"name", finding.name},
                      {"verdict", WordOf(finding.verdict)},
                      {"detail", finding.detail},
                      {"remedy", finding.remedy}});
  }
  const nlohmann::ordered_json report = {{"ok", !AnyProblem(findings)}, {"checks", checks}};
  return report.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace kata::cli
