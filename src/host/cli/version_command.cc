// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "host/cli/command.h"
#include "host/cli/oci/command.h"

namespace kata::cli {
namespace {

constexpr const char* kRuntimeSpec = "1.2.0";

}  // namespace

std::string VersionText() {
  return fmt::format("{} version {}\ncommit: {}\nspec: {}", oci::ProgramName(), kVersion, kRevision,
                     kRuntimeSpec);
}

void AddVersion(CLI::App& app, int* status) {
  CLI::App* command = app.add_subcommand("version", "Print the version and what it implements");
  command->footer(
      "Examples:\n"
      "  kata-runtime version\n"
      "  kata-runtime version --json\n");
  const auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print JSON");
  command->callback([json, status] {
    if (!*json) {
      *status = Print(VersionText() + "\ncontainerd task API: v2, v3\n");
      return;
    }
    const nlohmann::ordered_json report = {{"version", std::string(kVersion)},
                                           {"commit", std::string(kRevision)},
                                           {"spec", kRuntimeSpec},
                                           {"task_api", {"v2", "v3"}}};
    *status = Print(report.dump(2) + "\n");
  });
}

}  // namespace kata::cli
