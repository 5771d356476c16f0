// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "host/cli/checks.h"
#include "host/cli/command.h"

namespace kata::cli {
std::vector<Finding> AllChecks(const Globals& globals) {
  std::vector<Finding> findings;
  const auto append = [&findings](std::vector<Finding> more) {
    for (Finding& finding : more) findings.push_back(std::move(finding));
  };
  auto loaded = LoadConfig(globals);
  if (!loaded) {
    append(CheckHost("", {}));
    append({{.name = "configuration",
             .verdict = Verdict::kProblem,
             .detail = loaded.error().message(),
             .remedy = "correct the file; docs/configuration.md lists what keys may hold"}});
    return findings;
  }
  append(CheckHost("", *loaded));
  append({CheckAccelerator(*loaded)});
  append(CheckPrograms(*loaded));
  Finding configuration{.name = "configuration",
                        .detail = loaded->files.empty()
                                      ? std::string("no file, built-in defaults")
                                      : fmt::format("{}", fmt::join(loaded->files, ", "))};
  if (!loaded->warnings.empty()) {
    configuration.verdict = Verdict::kNote;
    configuration.detail += fmt::format("; {}", fmt::join(loaded->warnings, "; "));
  }
  append({std::move(configuration)});
  return findings;
}

void AddCheck(CLI::App& app, const Globals& globals, int* status) {
  CLI::App* command =
      app.add_subcommand("check", "Tell whether this host can run containers, line by line")
          ->alias("kata-check");
  command->footer(
      "Prints ok, note or problem for each thing that matters, and what would mend it.\n"
      "Exit status: 0 when containers can run here, 1 otherwise.\n"
      "\n"
      "Examples:\n"
      "  kata-runtime check\n"
      "  kata-runtime check --json | jq '.checks[] | select(.verdict != \"ok\")'\n");
  const auto json = std::make_shared<bool>(false);
  const auto ignored = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print JSON");
  command->add_flag("--verbose", *ignored,
                    "accepted for Kata Containers' sake; everything is printed");
  command->add_flag("-n,--no-network-checks", *ignored,
                    "accepted for Kata Containers' sake; there are none");
  command->callback([json, ignored, status, &globals] {
    const std::vector<Finding> findings = AllChecks(globals);
    const bool colours = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    const int printed = Print(*json ? RenderJson(findings) : RenderText(findings, colours));
    *status = AnyProblem(findings) ? 1 : printed;
  });
}

}  // namespace kata::cli
