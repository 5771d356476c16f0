// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::cli::doctor {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Report Example() {
  Report report{
      .version = "0.1.0",
      .checks = {{.name = "user", .detail = "root"}},
      .tried = true,
      .findings = {
          {.name = "exec", .detail = "15 ms"},
          {.name = "room", .verdict = Verdict::kNote, .detail = "little", .remedy = "add memory"}}};
  report.facts.accelerator = "kvm";
  report.facts.front_ends = {
      {.name = "docker", .path = "/usr/bin/dockerd", .file = "/etc/docker/daemon.json"}};
  report.trial.began_from = "template";
  report.trial.phases = {{"exec", 15}, {"end", 200}};
  report.trial.figures = {.host_rounds = 200, .guest_rounds = 100, .packets_sent = 20};
  return report;
}

// docs/cli.md documents these members: programs read them.
constexpr const char* kGolden = R"({
  "ok": true,
  "version": "0.1.0",
  "accelerator": "kvm",
  "began_from": "template",
  "phases": [
    {
      "name": "exec",
      "milliseconds": 15.0,
      "error": ""
    },
    {
      "name": "end",
      "milliseconds": 200.0,
      "error": ""
    }
  ],
  "figures": {
    "guest_speed": 0.5,
    "packets_sent": 20.0,
    "packets_received": null,
    "round_trip_us": null,
    "write_mib_per_second": null,
    "read_mib_per_second": null
  },
  "front_ends": [
    {
      "name": "docker",
      "path": "/usr/bin/dockerd",
      "configured": false,
      "file": "/etc/docker/daemon.json"
    }
  ],
  "findings": [
    {
      "name": "exec",
      "verdict": "ok",
      "detail": "15 ms",
      "remedy": ""
    },
    {
      "name": "room",
      "verdict": "note",
      "detail": "little",
      "remedy": "add memory"
    }
  ],
  "checks": [
    {
      "name": "user",
      "verdict": "ok",
      "detail": "root",
      "remedy": ""
    }
  ]
}
)";

TEST(DoctorReport, IsThisJson) { EXPECT_EQ(FormatJson(Example()), kGolden); }

TEST(DoctorReport, HasTheWorstFirst) {
  Report report = Example();
  report.findings.push_back(
      {.name = "packets", .verdict = Verdict::kProblem, .detail = "none", .remedy = "modprobe"});
  const std::string text = FormatText(report, false);
  EXPECT_THAT(text, StartsWith("problem  packets         none\n"
                               "                         to mend: modprobe\n"
                               "note     room            little\n"));
  EXPECT_THAT(text, HasSubstr("Containers do not run on this host."));
}

TEST(DoctorReport, EndsWithWhatItMeans) {
  EXPECT_THAT(FormatText(Example(), false),
              HasSubstr("\nContainers run on this host. 1 thing could be better.\n"));
  Report cancelled = Example();
  cancelled.trial.cancelled = true;
  EXPECT_THAT(FormatText(cancelled, false), HasSubstr("Stopped before it was done"));
}

TEST(DoctorReport, IsHealthyOnlyWhenAllWasTriedAndNothingIsAProblem) {
  EXPECT_TRUE(Healthy(Example()));
  Report untried = Example();
  untried.tried = false;
  EXPECT_FALSE(Healthy(untried));
  Report half = Example();
  half.trial.phases.pop_back();
  EXPECT_FALSE(Healthy(half));
  Report bad = Example();
  bad.checks[0].verdict = Verdict::kProblem;
  EXPECT_FALSE(Healthy(bad));
}

}  // namespace
}  // namespace kata::cli::doctor
