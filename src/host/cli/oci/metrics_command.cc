// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime metrics: a sandbox's figures, as kata-monitor gets them.
#include <memory>

#include "host/cli/oci/command.h"
#include "host/cli/oci/sandbox_lookup.h"
#include "host/cli/oci/shim.h"
#include "metrics/builder.h"
#include "metrics/text.h"
#include "proto/metrics.pb.h"

namespace kata::cli::oci {
namespace {

Result<int> PrintMetrics(const Globals&, const Arguments& arguments) {
  const sandbox::SandboxRecord record = KATA_TRY(FindRecord(arguments.words().front()));
  const auto shim = KATA_TRY(Shim::Connect(record.owner));
  const auto answer =
      KATA_TRY(shim->CallSandbox<metrics::Metrics>("Metrics", metrics::MetricsRequest()));
  // Names are checked on the way.
  metrics::Builder builder;
  builder.AddAll(answer);
  KATA_TRY(Print(metrics::FormatText(builder.Take())));
  return 0;
}

}  // namespace

const Command kMetrics{.name = "metrics",
                       .words = "CONTAINER",
                       .summary = "print a sandbox's figures as Prometheus' text",
                       .examples = "  kata-runtime metrics web | grep kata_guest_load\n",
                       .min_words = 1,
                       .max_words = 1,
                       .run = PrintMetrics};

}  // namespace kata::cli::oci
