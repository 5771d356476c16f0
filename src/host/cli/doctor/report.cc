// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/report.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/doctor/judge.h"

namespace kata::cli::doctor {
namespace {

using ReportJson = nlohmann::ordered_json;

std::string TimeTable(const Trial& trial) {
  std::string text = "\nTried, one after the other:\n";
  for (const Phase& phase : trial.phases) {
    text += fmt::format("  {:<12} {:>8}{}\n", phase.name, Duration(phase.millis),
                        phase.error.empty() ? "" : "  failed");
  }
  return text;
}

std::string LastWord(const Report& report) {
  const auto count = [&](Verdict verdict) {
    const auto is = [&](const Finding& finding) { return finding.verdict == verdict; };
    return std::ranges::count_if(report.checks, is) + std::ranges::count_if(report.findings, is);
  };
  const auto notes = count(Verdict::kNote);
  const std::string better =
      notes == 0 ? "" : fmt::format(" {} thing{} could be better.", notes, notes == 1 ? "" : "s");
  if (report.trial.cancelled) return "Stopped before it was done; nothing is left of it.\n";
  if (Healthy(report)) return fmt::format("Containers run on this host.{}\n", better);
  return "Containers do not run on this host. kata-runtime doctor --bundle FILE collects what "
         "others "
         "need to help.\n";
}

ReportJson ToJson(const std::vector<Finding>& findings) {
  ReportJson list = ReportJson::array();
  for (const Finding& finding : findings) {
    list.push_back({{"name", finding.name},
                    {"verdict", WordOf(finding.verdict)},
                    {"detail", finding.detail},
                    {"remedy", finding.remedy}});
  }
  return list;
}

ReportJson ToJson(const std::vector<Phase>& phases) {
  ReportJson list = ReportJson::array();
  for (const Phase& phase : phases) {
    list.push_back({{"name", phase.name}, {"milliseconds", phase.millis}, {"error", phase.error}});
  }
  return list;
}

ReportJson ToJson(const std::optional<double>& number) {
  return number ? ReportJson(*number) : ReportJson();
}

ReportJson ToJson(const Figures& figures) {
  const bool both = figures.host_rounds.value_or(0) > 0 && figures.guest_rounds.has_value();
  return {{"guest_speed",
           both ? ReportJson(*figures.guest_rounds / *figures.host_rounds) : ReportJson()},
          {"packets_sent", ToJson(figures.packets_sent)},
          {"packets_received", ToJson(figures.packets_received)},
          {"round_trip_us", ToJson(figures.round_trip_us)},
          {"write_mib_per_second", ToJson(figures.write_mib_per_second)},
          {"read_mib_per_second", ToJson(figures.read_mib_per_second)}};
}

ReportJson ToJson(const std::vector<FrontEnd>& front_ends) {
  ReportJson list = ReportJson::array();
  for (const FrontEnd& each : front_ends) {
    list.push_back({{"name", each.name},
                    {"path", each.path},
                    {"configured", each.configured},
                    {"file", each.file}});
  }
  return list;
}

}  // namespace

bool Healthy(const Report& report) {
  return report.tried && !report.trial.cancelled && report.trial.Find("end") != nullptr &&
         !AnyProblem(report.findings) && !AnyProblem(report.checks);
}

std::string FormatText(const Report& report, bool colours) {
  std::vector<Finding> all = report.checks;
  all.insert(all.end(), report.findings.begin(), report.findings.end());
  // The worst first; what belongs together stays together.
  std::ranges::stable_sort(
      all, [](const Finding& a, const Finding& b) { return a.verdict > b.verdict; });
  std::string text;
  for (const Finding& finding : all) text += RenderLine(finding, colours);
  if (!report.trial.phases.empty()) text += TimeTable(report.trial);
  return text + "\n" + LastWord(report);
}

std::string FormatJson(const Report& report) {
  const ReportJson json = {{"ok", Healthy(report)},
                           {"version", report.version},
                           {"accelerator", report.facts.accelerator},
                           {"began_from", report.trial.began_from},
                           {"phases", ToJson(report.trial.phases)},
                           {"figures", ToJson(report.trial.figures)},
                           {"front_ends", ToJson(report.facts.front_ends)},
                           {"findings", ToJson(report.findings)},
                           {"checks", ToJson(report.checks)}};
  return json.dump(2, ' ', false, ReportJson::error_handler_t::replace) + "\n";
}

}  // namespace kata::cli::doctor
