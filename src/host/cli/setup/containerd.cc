// SPDX-License-Identifier: Apache-2.0
//
// containerd: a handler of the CRI plugin, in a drop-in where containerd merges them, else in its
// main file. containerd reads them when it starts.
#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/cli/host.h"
#include "host/cli/setup/container_check.h"
#include "host/cli/setup/containerd_plan.h"
#include "host/cli/setup/drop_in.h"
#include "host/cli/setup/front_end.h"
#include "host/cli/setup/running_daemon.h"
#include "host/config/toml_file.h"
#include "sys/files.h"

namespace kata::cli::setup {
namespace {

using std::chrono::seconds;

constexpr char kContainerdMain[] = "/etc/containerd/config.toml";
constexpr char kContainerdDropIn[] = "50-kata.toml";
constexpr auto kContainerdTime = seconds(30);
constexpr auto kContainerdRunTime = seconds(300);
constexpr int kFirstThatMerges = 2;

class ContainerdFrontEnd : public FrontEnd {
 public:
  ContainerdFrontEnd(SetupOptions options, KataPrograms programs)
      : options_(std::move(options)), programs_(std::move(programs)) {}

  Result<DetectedFrontEnd> Detect() override;
  Result<std::string> Plan(const ConfigFile& file,
                           const std::optional<SetupRecord>& record) const override;
  Result<std::optional<std::string>> Unplan(const std::string& text,
                                            const SetupRecord& record) const override {
    if (text.starts_with(kDropInMark)) return record.before;
    return UnplanContainerd(text, record);
  }
  Result<void> Prove(const ConfigFile& file, const std::string& text) const override;
  SetupStep Load(const std::optional<std::string>& text) const override;
  SetupStep Check() const override;
  std::vector<std::string> Notes() const override {
    if (options_.undo) return {};
    return {
        fmt::format("pods whose RuntimeClass has the handler \"{}\" get machines; ctr and nerdctl "
                    "need no setup: --runtime {}",
                    options_.name, kShimType)};
  }

 private:
  void ChooseDaemon();
  ContainerdRuntime WantedRuntime() const {
    const std::string path =
        daemon_ ? daemon_->path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
    return {.name = options_.name,
            .make_default = options_.make_default,
            .shim = IsInPath(path, kShimProgram) ? "" : programs_.shim};
  }
  // What containerd makes of a main file and all that it imports.
  Result<std::string> Dump(const std::string& path) const;
  std::string Address() const;
  std::vector<std::string> Ctr(std::vector<std::string> words) const;
  bool Answers() const;

  SetupOptions options_;
  KataPrograms programs_;
  std::optional<RunningDaemon> daemon_;
  std::string program_;
  std::string main_;
  int major_ = 0;
  int version_ = 0;  // of the main file, where the handler is in a drop-in
};

void ContainerdFrontEnd::ChooseDaemon() {
  if (!options_.sysroot.empty()) return;
  std::vector<RunningDaemon> daemons = FindDaemons("containerd");
  const auto file_of = [](const RunningDaemon& daemon) {
    return FlagValue(daemon.argv, "config", 'c').value_or(kContainerdMain);
  };
  std::erase_if(daemons, [&](const RunningDaemon& daemon) {
    if (!options_.config_file.empty() && !options_.undo) {
      return !IsSameFile(file_of(daemon), options_.config_file);
    }
    // Docker's own has no CRI plugin, and a file that is written anew at each start.
    return daemon.parent == "dockerd";
  });
  if (!daemons.empty()) {
    daemon_ = std::move(daemons.front());
    main_ = file_of(*daemon_);
  }
}

Result<DetectedFrontEnd> ContainerdFrontEnd::Detect() {
  main_ = kContainerdMain;
  ChooseDaemon();
  if (!options_.config_file.empty() && !options_.undo) main_ = options_.config_file;
  DetectedFrontEnd place{.about = "containerd", .path = options_.sysroot + main_};
  if (options_.sysroot.empty()) {
    program_ = daemon_ ? daemon_->program : "";
    if (program_.empty()) program_ = FindDaemonProgram("containerd");
    if (program_.empty() && options_.config_file.empty() && !sys::Exists(main_)) {
      return Fail(Code::kNotFound,
                  "containerd is not installed; install it first, or name its file with "
                  "--config-file");
    }
  }
  if (!program_.empty()) {
    const auto version = ProgramVersion(program_);
    if (version) major_ = MajorVersion(*version);
    place.about = fmt::format("containerd {}", version ? *version : "of an unknown version");
  }
  if (daemon_) place.about += fmt::format(", runs (pid {})", daemon_->pid);
  if (options_.undo) {
    if (!options_.config_file.empty()) place.path = options_.config_file;
    return place;
  }
  const auto text = KATA_TRY(ReadConfigFile(place.path)).text;
  const ContainerdFacts facts =
      text ? KATA_TRY(ReadContainerd(place.path, *text)) : ContainerdFacts();
  if (facts.cri_is_disabled) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("{}: the CRI plugin is among the disabled_plugins, and a handler is of "
                            "use to that plugin only; ctr, nerdctl and Docker need no setup of "
                            "containerd: --runtime {}",
                            place.path, kShimType));
  }
  const std::string dir = major_ >= kFirstThatMerges ? DropInDirOf(facts.imports) : "";
  if (!dir.empty() && text) {
    version_ = facts.version;
    place.path = fmt::format("{}{}/{}", options_.sysroot, dir, kContainerdDropIn);
  }
  return place;
}

Result<std::string> ContainerdFrontEnd::Plan(const ConfigFile& file,
                                             const std::optional<SetupRecord>& record) const {
  if (version_ != 0) return PlanDropIn(file, ContainerdDropIn(version_, WantedRuntime()));
  if (file.text && file.text->contains("DO NOT EDIT")) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("{} says \"DO NOT EDIT\": whoever writes it would take the handler out "
                            "again; add it where that program reads its additions",
                            file.path));
  }
  const bool is_new = !file.text || file.text->find_first_not_of(" \t\r\n") == std::string::npos;
  const std::string start = fmt::format("version = {}\n", major_ >= kFirstThatMerges ? 3 : 2);
  return PlanContainerd(file.path, is_new ? start : *file.text, WantedRuntime(), record);
}

Result<std::string> ContainerdFrontEnd::Dump(const std::string& path) const {
  std::vector<std::string> argv = {program_, "config", "default"};
  if (sys::Exists(path)) argv = {program_, "--config", path, "config", "dump"};
  const auto result = KATA_TRY(RunProgram(argv, Deadline::After(kContainerdTime)));
  if (result.status == 0) return result.out;
  return Fail(Code::kFailedPrecondition,
              fmt::format("containerd config dump of {}: {}", path, result.LastLine()));
}

// The file is tried beside the one that it replaces, from where it may import others by relative
// names. A drop-in has no effect anywhere else: Load looks at it.
Result<void> ContainerdFrontEnd::Prove(const ConfigFile& file, const std::string& text) const {
  if (program_.empty() || version_ != 0 || (options_.dry_run && ::geteuid() != 0)) return {};
  const std::string before = KATA_TRY(Dump(file.path));
  const auto dirs = MissingDirs(file.path);
  const std::string candidate = TrialOf(file.path);
  Rollback remove;
  for (const std::string& dir : dirs) {
    remove.Add([dir] { (void)::rmdir(dir.c_str()); });
  }
  remove.Add([path = file.path] { RemoveLeftovers(path); });
  KATA_TRY(WriteConfigFile(candidate, text, 0600));
  const auto after = Dump(candidate);
  if (!after) return std::unexpected(after.error());
  return CompareContainerdDumps(before, *after, WantedRuntime());
}

SetupStep ContainerdFrontEnd::Load(const std::optional<std::string>& text) const {
  SetupStep step{.name = "load"};
  if (version_ != 0 && text && !options_.undo && !program_.empty()) {
    const auto dump = Dump(main_);
    const auto seen = dump ? CompareContainerdDumps(*dump, *dump, WantedRuntime())
                           : Result<void>(std::unexpected(dump.error()));
    if (!seen) {
      step.outcome = SetupStep::Outcome::kFailed;
      step.detail = seen.error().message();
      return step;
    }
  }
  if (!daemon_) {
    step.outcome = SetupStep::Outcome::kSkipped;
    step.detail = "no containerd runs; it reads the file when it starts";
    return step;
  }
  if (!options_.restart || !SystemdRuns()) {
    step.outcome = SetupStep::Outcome::kSkipped;
    step.detail = "containerd reads it when it starts again";
    step.remedy = "systemctl restart containerd; containers go on";
    return step;
  }
  const auto restarted = RestartUnit("containerd");
  const Deadline deadline = Deadline::After(kContainerdTime);
  while (restarted && !Answers() && !deadline.Passed()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  if (!restarted || !Answers()) {
    step.outcome = SetupStep::Outcome::kFailed;
    step.detail =
        restarted ? "containerd does not answer after its restart" : restarted.error().message();
    step.remedy = "journalctl -u containerd tells why";
    return step;
  }
  step.detail = "containerd was restarted";
  return step;
}

std::string ContainerdFrontEnd::Address() const {
  if (const auto address = FlagValue(daemon_->argv, "address", 'a')) return *address;
  const auto dump = Dump(main_);
  const auto settings = config::ReadToml(dump.value_or(""), "");
  for (const auto& each : settings.value_or(std::vector<config::Setting>())) {
    if (each.table != "grpc" || each.key != "address" || !each.value) continue;
    if (const auto* address = std::get_if<std::string>(&*each.value)) return *address;
  }
  return "/run/containerd/containerd.sock";
}

std::vector<std::string> ContainerdFrontEnd::Ctr(std::vector<std::string> words) const {
  // The one of the same version is beside the daemon.
  std::string ctr = program_.substr(0, program_.rfind('/') + 1) + "ctr";
  if (!sys::Exists(ctr)) ctr = FindDaemonProgram("ctr");
  std::vector<std::string> argv = {ctr, "--address", Address()};
  argv.insert(argv.end(), std::make_move_iterator(words.begin()),
              std::make_move_iterator(words.end()));
  return argv;
}

bool ContainerdFrontEnd::Answers() const {
  const auto result = RunProgram(Ctr({"version"}), Deadline::After(kContainerdTime));
  return result && result->status == 0;
}

SetupStep ContainerdFrontEnd::Check() const {
  if (!daemon_ || Ctr({}).front().empty()) {
    return {.name = "check",
            .outcome = SetupStep::Outcome::kSkipped,
            .detail = daemon_ ? "no container was run: there is no ctr here"
                              : "no container was run: no containerd runs"};
  }
  std::string space = "k8s.io";
  std::vector<std::string> images = {options_.image};
  if (options_.image.empty()) {
    images.clear();
    for (const char* each : {"k8s.io", "default", "moby"}) {
      const auto list =
          RunProgram(Ctr({"-n", each, "images", "ls", "-q"}), Deadline::After(kContainerdTime));
      images = ImagesToTry(NonEmptyLines(list && list->status == 0 ? list->out : ""));
      space = each;
      if (!images.empty()) break;
    }
  } else {
    (void)RunProgram(Ctr({"-n", space, "images", "pull", options_.image}),
                     Deadline::After(kContainerdRunTime));
  }
  const std::string shim = WantedRuntime().shim;
  return CheckByContainer(images, !options_.image.empty(), [&](const std::string& image) {
    const std::string name = CheckName();
    std::vector<std::string> words = {
        "-n",   space,       "run",
        "--rm", "--runtime", shim.empty() ? std::string(kShimType) : shim,
        image,  name,        kProofProgram};
    words.insert(words.end(), kProofArguments.begin(), kProofArguments.end());
    auto result = RunProgram(Ctr(words), Deadline::After(kContainerdRunTime));
    if (!result || result->status != 0) {
      for (const auto& rest : {std::vector<std::string>{"task", "rm", "-f", name},
                               std::vector<std::string>{"container", "rm", name}}) {
        std::vector<std::string> removal = {"-n", space};
        removal.insert(removal.end(), rest.begin(), rest.end());
        (void)RunProgram(Ctr(removal), Deadline::After(kContainerdTime));
      }
    }
    return result;
  });
}

}  // namespace

std::unique_ptr<FrontEnd> MakeContainerd(const SetupOptions& options,
                                         const KataPrograms& programs) {
  return std::make_unique<ContainerdFrontEnd>(options, programs);
}

}  // namespace kata::cli::setup
