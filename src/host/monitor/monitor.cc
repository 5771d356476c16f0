// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/monitor.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "host/monitor/ask_shims.h"
#include "host/record/records.h"
#include "host/warm/protocol.h"
#include "metrics/process_figures.h"
#include "metrics/text.h"
#include "sys/files.h"

namespace kata::monitor {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFactoryPatience{500};
constexpr size_t kMostOfStat = 1 << 20;

double NumberIn(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

}  // namespace

std::vector<sandbox::SandboxRecord> Monitor::Sandboxes() const {
  std::vector<sandbox::SandboxRecord> all = sandbox::AllRecords(options_.records);
  std::erase_if(all, [](const auto& record) { return !sandbox::IsServed(record); });
  return all;
}

Result<std::string> Monitor::AllMetrics() {
  if (!asking_.Begin(Deadline::After(2 * options_.patience))) {
    return Fail(Code::kResourceExhausted, "others ask for all metrics already");
  }
  const CallTurn turn(asking_);
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<sandbox::SandboxRecord> sandboxes = Sandboxes();
  starts_.Look(sandboxes, options_.records);
  std::vector<Question> questions;
  for (const auto& each : sandboxes) questions.push_back({each.id, each.owner});
  auto answers = AskShims(questions, Deadline::After(options_.patience));
  durations_.Observe({}, std::chrono::steady_clock::now() - begin);
  ++scrapes_;
  metrics::Builder builder;
  builder.Add("kata_monitor_running_shim_count", {}, static_cast<double>(sandboxes.size()));
  for (size_t i = 0; i < answers.size(); ++i) {
    const metrics::LabelView label("sandbox_id", questions[i].sandbox);
    // One that has ended meanwhile has not failed.
    if (!answers[i] && !sandbox::IsServed(sandboxes[i])) continue;
    builder.Add("kata_monitor_sandbox_up", {label}, answers[i] ? 1 : 0);
    if (!answers[i]) {
      ++failures_;
      log::Warn("a sandbox does not tell its metrics",
                {{"sandbox", questions[i].sandbox}, {"error", answers[i].error().message()}});
      continue;
    }
    const size_t left_out = builder.AddAll(*answers[i], label, kMostSamples);
    if (left_out > 0) {
      log::Warn("metrics of a sandbox are left out",
                {{"sandbox", questions[i].sandbox}, {"samples", left_out}});
    }
    // It is held twice no longer than it must be.
    answers[i] = metrics::Metrics();
  }
  AddSelf(builder);
  AddFactory(builder);
  return metrics::FormatText(builder.Take());
}

Result<std::string> Monitor::MetricsOf(const std::string& sandbox) {
  const auto all = Sandboxes();
  const auto found = std::ranges::find(all, sandbox, &sandbox::SandboxRecord::id);
  if (found == all.end()) {
    return Fail(Code::kNotFound, fmt::format("there is no sandbox \"{}\"", sandbox));
  }
  const auto answers = AskShims({{found->id, found->owner}}, Deadline::After(options_.patience));
  metrics::Builder builder;
  builder.AddAll(KATA_TRY(answers.front()), {}, kMostSamples);
  return metrics::FormatText(builder.Take());
}

void Monitor::AddSelf(metrics::Builder& builder) const {
  builder.Add("kata_monitor_scrape_count", {}, static_cast<double>(scrapes_));
  builder.Add("kata_monitor_scrape_failed_count", {}, static_cast<double>(failures_));
  durations_.AddTo(builder);
  starts_.AddTo(builder);
  metrics::AddCommonFigures(builder, "kata_monitor", metrics::ReadProcess("/proc/self"),
                            sys::ReadFile("/proc/stat", kMostOfStat).value_or(""));
}

void Monitor::AddFactory(metrics::Builder& builder) const {
  if (options_.factory.empty()) return;
  const auto answer = warm::Ask(options_.factory, "status", Deadline::After(kFactoryPatience));
  if (!answer) return;  // it need not run
  const auto status = nlohmann::json::parse(*answer, nullptr, false);
  if (!status.is_object()) return;
  for (const char* state : {"wanted", "ready", "preparing"}) {
    builder.Add("kata_factory_machines", {{"state", state}}, NumberIn(status, state));
  }
  builder.Add("kata_factory_taken_total", {}, NumberIn(status, "given"));
  builder.Add("kata_factory_missed_total", {}, NumberIn(status, "missed"));
  builder.Add("kata_factory_failed_total", {}, NumberIn(status, "failed"));
}

}  // namespace kata::monitor
