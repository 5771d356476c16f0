// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/shortage.h"

#include "host/record/size_report.h"

namespace kata::cli::oci {

void WarnOfShortage(const Globals& globals, const std::string& sandbox_id) {
  const auto report = sandbox::LoadSizeReport(sandbox_id);
  if (!report) return;
  if (const std::string shortage = sandbox::DescribeShortage(*report); !shortage.empty()) {
    Warn(globals, shortage);
  }
}

}  // namespace kata::cli::oci
