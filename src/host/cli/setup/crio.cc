// SPDX-License-Identifier: Apache-2.0
//
// CRI-O: a drop-in of crio.conf. The main file may leave runtimes out; a drop-in adds to the
// others.
#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "host/cli/host.h"
#include "host/cli/setup/drop_in.h"
#include "host/cli/setup/front_end.h"
#include "host/cli/setup/running_daemon.h"
#include "host/config/toml_file.h"
#include "sys/files.h"

namespace kata::cli::setup {
namespace {

constexpr char kCrioDir[] = "/etc/crio/crio.conf.d";
constexpr char kCrioMain[] = "/etc/crio/crio.conf";
constexpr char kCrioFile[] = "50-kata.conf";

class CrioFrontEnd : public FrontEnd {
 public:
  CrioFrontEnd(SetupOptions options, KataPrograms programs)
      : options_(std::move(options)), programs_(std::move(programs)) {}

  Result<DetectedFrontEnd> Detect() override {
    if (options_.sysroot.empty()) {
      auto daemons = FindDaemons("crio");
      if (!daemons.empty()) daemon_ = std::move(daemons.front());
    }
    const std::string dir =
        daemon_ ? FlagValue(daemon_->argv, "config-dir", 'd').value_or(kCrioDir) : kCrioDir;
    DetectedFrontEnd place{.about = "cri-o", .path = options_.sysroot};
    place.path +=
        options_.config_file.empty() ? fmt::format("{}/{}", dir, kCrioFile) : options_.config_file;
    const std::string program = daemon_ ? daemon_->program : FindDaemonProgram("crio");
    if (!options_.sysroot.empty()) return place;
    if (program.empty() && !options_.undo && options_.config_file.empty()) {
      return Fail(Code::kNotFound,
                  "crio is not installed; install CRI-O first, or name the drop-in to write with "
                  "--config-file");
    }
    if (!program.empty()) {
      if (const auto version = ProgramVersion(program)) {
        place.about = fmt::format("cri-o {}", *version);
      }
    }
    if (daemon_) place.about += fmt::format(", crio runs (pid {})", daemon_->pid);
    return place;
  }

  Result<std::string> Plan(const ConfigFile& file,
                           const std::optional<SetupRecord>& /*record*/) const override {
    KATA_TRY(LookForAnother(file.path));
    return PlanDropIn(file, CrioDropIn(options_.name, options_.make_default, programs_));
  }

  Result<std::optional<std::string>> Unplan(const std::string& /*text*/,
                                            const SetupRecord& record) const override {
    return record.before;
  }

  Result<void> Prove(const ConfigFile& /*file*/, const std::string& /*text*/) const override {
    return {};
  }

  SetupStep Load(const std::optional<std::string>& /*text*/) const override {
    if (!daemon_) {
      return {.name = "load",
              .outcome = SetupStep::Outcome::kSkipped,
              .detail = "no crio runs; it reads the file when it starts"};
    }
    if (!options_.restart || !SystemdRuns()) {
      return {.name = "load",
              .outcome = SetupStep::Outcome::kSkipped,
              .detail = "crio reads it when it starts again",
              .remedy = "systemctl restart crio; containers go on"};
    }
    if (const auto restarted = RestartUnit("crio"); !restarted) {
      return {.name = "load",
              .outcome = SetupStep::Outcome::kFailed,
              .detail = restarted.error().message(),
              .remedy = "journalctl -u crio tells why"};
    }
    return {.name = "load", .detail = "crio was restarted"};
  }

  SetupStep Check() const override {
    return {.name = "check",
            .outcome = SetupStep::Outcome::kSkipped,
            .detail = "no container was run: CRI-O runs pods only",
            .remedy = fmt::format("start a pod whose RuntimeClass has the handler \"{}\"",
                                  options_.name)};
  }

 private:
  // CRI-O would take whichever file comes last.
  Result<void> LookForAnother(const std::string& own) const {
    std::vector<std::string> files = {options_.sysroot + kCrioMain};
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(own.substr(0, own.rfind('/')), error)) {
      files.push_back(entry.path());
    }
    const std::string table = fmt::format("crio.runtime.runtimes.{}", options_.name);
    for (const std::string& path : files) {
      if (path == own || !sys::Exists(path)) continue;
      const auto settings = config::ReadTomlFile(path);
      if (!settings) continue;
      const auto found = std::find_if(settings->begin(), settings->end(),
                                      [&](const auto& each) { return each.table == table; });
      if (found == settings->end()) continue;
      return Fail(
          Code::kAlreadyExists,
          fmt::format("{}:{}: there is a runtime \"{}\" already; remove it there, or choose "
                      "another name with --name",
                      path, found->source.line, options_.name));
    }
    return {};
  }

  SetupOptions options_;
  KataPrograms programs_;
  std::optional<RunningDaemon> daemon_;
};

}  // namespace

std::unique_ptr<FrontEnd> MakeCrio(const SetupOptions& options, const KataPrograms& programs) {
  return std::make_unique<CrioFrontEnd>(options, programs);
}

}  // namespace kata::cli::setup
