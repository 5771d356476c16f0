// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime doctor: tries what a container needs, and says what is slow or broken.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/version.h"
#include "host/cli/command.h"
#include "host/cli/doctor/facts.h"
#include "host/cli/doctor/judge.h"
#include "host/cli/doctor/report.h"
#include "host/cli/doctor/step.h"
#include "host/cli/doctor/support_bundle.h"
#include "host/cli/doctor/trial.h"
#include "sys/fd.h"
#include "sys/program.h"

namespace kata::cli {
namespace {

struct DoctorOptions {
  bool json = false;
  std::string bundle;
  int64_t timeout_seconds = 300;
};

// One line on a terminal that says what is being done; silence elsewhere.
class ProgressLine {
 public:
  ProgressLine() : shown_(::isatty(STDERR_FILENO) == 1) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { Write("\r\033[K"); }

  void Show(std::string_view what) const {
    const auto passed =
        std::chrono::duration_cast<std::chrono::seconds>(Deadline::Clock::now() - begin_);
    Write(fmt::format("\r\033[K[{:>3} s] {} ...", passed.count(), what));
  }

 private:
  void Write(std::string_view text) const {
    if (shown_) (void)sys::WriteAll(STDERR_FILENO, text);
  }

  bool shown_;
  Deadline::Clock::time_point begin_ = Deadline::Clock::now();
};

std::vector<std::string> FoldersOfPath() {
  const char* path = std::getenv("PATH");
  std::string text = path == nullptr ? "" : path;
  // Services live there, whoever asks.
  text += ":/usr/local/sbin:/usr/sbin:/sbin";
  std::vector<std::string> folders;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(':', begin), text.size());
    if (end > begin && text[begin] == '/') folders.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return folders;
}

Result<doctor::Trial> Try(const Globals& globals, const DoctorOptions& options,
                          const config::Loaded& loaded, int cancel, const ProgressLine& progress) {
  doctor::TrialOptions trial{
      .program = sys::OwnProgram(),
      .probe = KATA_TRY(sys::FindNeighbour("kata-stand-in")),
      .config = globals.config,
      .deadline = Deadline::After(std::chrono::seconds(options.timeout_seconds)),
      .cancel = cancel,
      .progress = [&progress](std::string_view phase) { progress.Show(phase); }};
  if (loaded.config.factory.enable_template) {
    trial.template_path = loaded.config.factory.template_path;
  }
  return doctor::RunTrial(trial);
}

Result<doctor::Report> Examine(const Globals& globals, const DoctorOptions& options, int cancel) {
  const ProgressLine progress;
  progress.Show("checks");
  doctor::Report report{.version = std::string(kVersion), .checks = AllChecks(globals)};
  const auto loaded = LoadConfig(globals);
  if (!loaded) return report;  // a check has said why
  report.facts = doctor::ReadFacts(*loaded);
  report.facts.front_ends = doctor::FindFrontEnds("", FoldersOfPath());
  if (AnyProblem(report.checks)) {
    report.findings = {{.name = "trial",
                        .verdict = Verdict::kNote,
                        .detail = "nothing was tried: what is said above comes first"}};
    return report;
  }
  report.trial = KATA_TRY(Try(globals, options, *loaded, cancel, progress));
  report.tried = true;
  report.findings = doctor::Judge(report.facts, report.trial);
  return report;
}

Result<void> WriteBundle(const Globals& globals, const doctor::Report& report,
                         doctor::BundleFile file, int cancel) {
  doctor::BundleSources sources{.program = sys::OwnProgram(),
                                .config = globals.config,
                                .shim_log = report.trial.log_tail,
                                .text = doctor::FormatText(report, false),
                                .json = doctor::FormatJson(report)};
  if (const auto loaded = LoadConfig(globals)) {
    sources.config_files = loaded->files;
    sources.programs = {loaded->config.hypervisor.path};
    if (loaded->config.hypervisor.shares_files()) {
      sources.programs.push_back(loaded->config.hypervisor.virtio_fs_daemon);
    }
  }
  for (const doctor::FrontEnd& each : report.facts.front_ends) {
    sources.programs.push_back(each.path);
  }
  const auto files = KATA_TRY(doctor::CollectBundle(sources, doctor::NamesOfThisHost(), cancel));
  return file.Write(files, cancel);
}

Result<int> Doctor(const Globals& globals, const DoctorOptions& options) {
  // Before anything takes time: the name may be wrong.
  std::optional<doctor::BundleFile> bundle;
  if (!options.bundle.empty()) bundle.emplace(KATA_TRY(doctor::BundleFile::Make(options.bundle)));
  auto interrupt = KATA_TRY(doctor::Interrupt::Make());
  const doctor::Report report = KATA_TRY(Examine(globals, options, interrupt.fd()));
  const bool colours = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  const int printed =
      Print(options.json ? doctor::FormatJson(report) : doctor::FormatText(report, colours));
  if (const int signal = interrupt.Take(); signal != 0) return 128 + signal;
  if (bundle) {
    KATA_TRY(WriteBundle(globals, report, *std::move(bundle), interrupt.fd()));
    (void)sys::WriteAll(STDERR_FILENO,
                        fmt::format("kata-runtime: {} is written; look through it before you send "
                                    "it (README.txt in it says what it has)\n",
                                    options.bundle));
  }
  return doctor::Healthy(report) ? printed : 1;
}

}  // namespace

void AddDoctor(CLI::App& app, const Globals& globals, int* status) {
  CLI::App* command = app.add_subcommand(
      "doctor", "Try a container, and say what is slow or broken on this host and what to do");
  command->footer(
      "Starts a machine, a container in it, a network and an exec, measures them, and removes all "
      "of\n"
      "it. A template that is missing is made first, as the first container would have it made.\n"
      "Exit status: 0 when containers run here, 1 otherwise, 2 for wrong usage; when interrupted,\n"
      "  128 and the signal's number.\n"
      "\n"
      "Examples:\n"
      "  kata-runtime doctor                         half a minute\n"
      "  kata-runtime doctor --json | jq .phases     what took how long\n"
      "  kata-runtime doctor --bundle help.tar.gz    a file for those who are asked for help\n");
  const auto options = std::make_shared<DoctorOptions>();
  command->add_flag("--json", options->json, "print JSON");
  command
      ->add_option(
          "--bundle", options->bundle,
          "write configuration, versions, logs and the result to this new file, a .tar.gz, "
          "without secrets and names")
      ->type_name("FILE");
  command->add_option("--timeout", options->timeout_seconds, "give up after so long")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  command->callback([options, status, &globals] {
    const auto done = Doctor(globals, *options);
    *status = done ? *done : PrintError(done.error());
  });
}

}  // namespace kata::cli
