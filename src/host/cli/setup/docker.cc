// SPDX-License-Identifier: Apache-2.0
//
// Docker: an entry of daemon.json, which a running dockerd loads again on SIGHUP.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/host.h"
#include "host/cli/setup/container_check.h"
#include "host/cli/setup/docker_plan.h"
#include "host/cli/setup/front_end.h"
#include "host/cli/setup/running_daemon.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::cli::setup {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kDockerFile[] = "/etc/docker/daemon.json";
constexpr auto kLoadTime = seconds(30);
constexpr auto kAskTime = seconds(30);
constexpr auto kContainerTime = seconds(300);
constexpr auto kPollTime = milliseconds(200);

class DockerFrontEnd : public FrontEnd {
 public:
  DockerFrontEnd(SetupOptions options, KataPrograms programs)
      : options_(std::move(options)), programs_(std::move(programs)) {}

  Result<DetectedFrontEnd> Detect() override;
  Result<std::string> Plan(const ConfigFile& file,
                           const std::optional<SetupRecord>& record) const override;
  Result<std::optional<std::string>> Unplan(const std::string& text,
                                            const SetupRecord& record) const override {
    return UnplanDocker(text, record);
  }
  Result<void> Prove(const ConfigFile& file, const std::string& text) const override;
  std::optional<std::string> Interim(const std::optional<std::string>& text) const override {
    if (!CanReload()) return std::nullopt;
    return InterimDocker(text, FlagValue(daemon_->argv, "default-runtime").has_value());
  }
  SetupStep Load(const std::optional<std::string>& text) const override;
  SetupStep Check() const override;
  std::vector<std::string> Notes() const override;

 private:
  // What `docker info` says of the runtimes.
  struct Known {
    std::vector<std::string> runtimes;
    std::string default_runtime;
  };

  std::string FileOf(const RunningDaemon& daemon) const {
    return FlagValue(daemon.argv, "config-file").value_or(kDockerFile);
  }
  Result<void> ChooseDaemon();
  // A reload would make dockerd forget the runtimes of its command line.
  bool CanReload() const { return daemon_ && FlagValues(daemon_->argv, "add-runtime").empty(); }
  std::vector<std::string> Client(std::vector<std::string> words) const;
  Result<Known> Ask() const;
  bool Knows(const DockerExpectation& expected) const;
  Result<void> WaitUntilKnown(const DockerExpectation& expected) const;

  SetupOptions options_;
  KataPrograms programs_;
  std::optional<RunningDaemon> daemon_;
  std::string program_;  // dockerd
  int major_ = 0;
  std::string address_;
};

// The one that reads the file that is meant, or the only one.
Result<void> DockerFrontEnd::ChooseDaemon() {
  if (!options_.sysroot.empty()) return {};
  std::vector<RunningDaemon> daemons = FindDaemons("dockerd");
  if (!options_.config_file.empty()) {
    std::erase_if(daemons, [this](const auto& daemon) {
      return !IsSameFile(FileOf(daemon), options_.config_file);
    });
  }
  if (daemons.size() > 1) {
    std::string list;
    for (const RunningDaemon& daemon : daemons) {
      list += fmt::format("{}pid {} with {}", list.empty() ? "" : ", ", daemon.pid, FileOf(daemon));
    }
    return Fail(Code::kFailedPrecondition,
                fmt::format("several dockerd run: {}; choose one with --config-file", list));
  }
  if (!daemons.empty()) daemon_ = std::move(daemons.front());
  return {};
}

Result<DetectedFrontEnd> DockerFrontEnd::Detect() {
  KATA_TRY(ChooseDaemon());
  DetectedFrontEnd place{.about = "docker", .path = options_.sysroot + kDockerFile};
  if (!options_.config_file.empty()) {
    place.path = options_.sysroot + options_.config_file;
  } else if (daemon_) {
    place.path = FileOf(*daemon_);
  }
  if (options_.sysroot.empty()) {
    program_ = daemon_ ? daemon_->program : "";
    if (program_.empty()) program_ = FindDaemonProgram("dockerd");
    if (program_.empty() && options_.config_file.empty() && !options_.undo) {
      return Fail(Code::kNotFound,
                  "dockerd is not installed; install Docker first, or name its file with "
                  "--config-file");
    }
  }
  if (!program_.empty()) {
    const auto version = ProgramVersion(program_);
    if (version) major_ = MajorVersion(*version);
    place.about = fmt::format("docker {}", version ? *version : "of an unknown version");
  }
  if (daemon_) {
    place.about += fmt::format(", dockerd runs (pid {})", daemon_->pid);
    address_ = DockerAddress(daemon_->argv, sys::ReadFile(place.path).value_or(""));
  }
  return place;
}

Result<std::string> DockerFrontEnd::Plan(const ConfigFile& file,
                                         const std::optional<SetupRecord>& record) const {
  // The containerd that dockerd starts has dockerd's $PATH; one of its own is started like it.
  const auto containerds = daemon_ ? FindDaemons("containerd") : std::vector<RunningDaemon>();
  const auto finds_shim = [](const RunningDaemon& daemon) {
    return IsInPath(daemon.path, kShimProgram);
  };
  const bool in_path =
      containerds.empty()
          ? IsInPath(daemon_ ? daemon_->path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                     kShimProgram)
          : std::all_of(containerds.begin(), containerds.end(), finds_shim);
  const DockerRuntime runtime{.name = options_.name,
                              .entry = DockerRuntimeEntry(major_, programs_, in_path),
                              .make_default = options_.make_default};
  if (daemon_) KATA_TRY(CheckDockerArguments(daemon_->argv, runtime));
  return PlanDocker(file.path, file.text, runtime, record);
}

// Docker 23 and later tell what they would say of a file. Only what they say of ours and not of the
// one that is there is about us.
Result<void> DockerFrontEnd::Prove(const ConfigFile& file, const std::string& text) const {
  if (program_.empty()) return {};
  std::vector<std::string> argv = daemon_ ? daemon_->argv : std::vector<std::string>{""};
  argv.front() = program_;
  argv.emplace_back("--validate");
  const auto complaint = [&](const std::string& content) -> Result<std::string> {
    const sys::UniqueFd copy = KATA_TRY(sys::MakeTextFile(content));
    const std::string path = fmt::format("/proc/{}/fd/{}", ::getpid(), copy.get());
    std::vector<std::string> words = argv;
    words.insert(words.end(), {"--config-file", path});
    const auto result = KATA_TRY(RunProgram(words, Deadline::After(kAskTime)));
    std::string said = result.status == 0 ? "" : result.LastLine();
    if (const size_t at = said.find(path); at != said.npos) {
      said.replace(at, path.size(), file.path);
    }
    return said;
  };
  const std::string ours = KATA_TRY(complaint(text));
  if (ours.empty() || ours == KATA_TRY(complaint(file.text.value_or("{}")))) return {};
  return Fail(
      Code::kFailedPrecondition,
      fmt::format("{} would be refused by dockerd, so nothing is changed: {}", file.path, ours));
}

std::vector<std::string> DockerFrontEnd::Client(std::vector<std::string> words) const {
  std::vector<std::string> argv = {"docker", "--host", address_};
  argv.insert(argv.end(), std::make_move_iterator(words.begin()),
              std::make_move_iterator(words.end()));
  return argv;
}

Result<DockerFrontEnd::Known> DockerFrontEnd::Ask() const {
  const auto result =
      KATA_TRY(RunProgram(Client({"info", "--format", "{{json .}}"}), Deadline::After(kAskTime)));
  const auto info = nlohmann::ordered_json::parse(result.out, nullptr, false);
  if (result.status != 0 || !info.is_object() || !info.contains("Runtimes")) {
    return Fail(Code::kUnavailable, fmt::format("docker info: {}", result.LastLine()));
  }
  Known known{.default_runtime = info.value("DefaultRuntime", "")};
  for (const auto& [name, runtime] : info["Runtimes"].items()) known.runtimes.push_back(name);
  return known;
}

bool DockerFrontEnd::Knows(const DockerExpectation& expected) const {
  const auto known = Ask();
  if (!known) return false;
  const bool has = std::find(known->runtimes.begin(), known->runtimes.end(), options_.name) !=
                   known->runtimes.end();
  return has == expected.has_runtime &&
         (known->default_runtime == options_.name) == expected.is_default;
}

Result<void> DockerFrontEnd::WaitUntilKnown(const DockerExpectation& expected) const {
  const Deadline deadline = Deadline::After(kLoadTime);
  while (!Knows(expected)) {
    if (deadline.Passed()) {
      return Fail(Code::kDeadlineExceeded,
                  fmt::format("dockerd (pid {}) has not taken the change within {} s", daemon_->pid,
                              kLoadTime.count()));
    }
    std::this_thread::sleep_for(kPollTime);
  }
  return {};
}

SetupStep DockerFrontEnd::Load(const std::optional<std::string>& text) const {
  SetupStep step{.name = "load"};
  if (!daemon_) {
    step.outcome = SetupStep::Outcome::kSkipped;
    step.detail = "no dockerd runs; it reads the file when it starts";
    return step;
  }
  const DockerExpectation expected = ExpectOfDocker(text, options_.name);
  const bool can_ask = sys::FindExecutable("docker").has_value();
  if (can_ask && Knows(expected)) {
    step.detail = "dockerd has taken it";
    return step;
  }
  if (options_.restart && SystemdRuns()) {
    if (const auto restarted = RestartUnit("docker"); !restarted) {
      step.outcome = SetupStep::Outcome::kFailed;
      step.detail = restarted.error().message();
      step.remedy = "journalctl -u docker tells why";
      return step;
    }
  } else if (!CanReload()) {
    step.outcome = SetupStep::Outcome::kSkipped;
    step.detail = fmt::format(
        "dockerd (pid {}) was started with --add-runtime, and would forget "
        "those runtimes if it loaded its file again",
        daemon_->pid);
    step.remedy = "systemctl restart docker";
    return step;
  } else if (const auto pidfd = sys::OpenPidFd(daemon_->pid); pidfd) {
    (void)sys::SignalPidFd(pidfd->get(), SIGHUP);
  }
  if (!can_ask) {
    step.detail = "dockerd was told to load it; there is no docker here to ask whether it has";
    return step;
  }
  if (const auto known = WaitUntilKnown(expected); !known) {
    step.outcome = SetupStep::Outcome::kFailed;
    step.detail = known.error().message();
    step.remedy = "journalctl -u docker tells why";
    return step;
  }
  step.detail = "dockerd has taken it";
  return step;
}

SetupStep DockerFrontEnd::Check() const {
  if (!daemon_ || !sys::FindExecutable("docker")) {
    return {.name = "check",
            .outcome = SetupStep::Outcome::kSkipped,
            .detail = daemon_ ? "no container was run: there is no docker here"
                              : "no container was run: no dockerd runs",
            .remedy = fmt::format("later: docker run --rm {}busybox uname -r",
                                  options_.make_default ? "" : "--runtime " + options_.name + " ")};
  }
  std::vector<std::string> images = {options_.image};
  if (options_.image.empty()) {
    const auto list = RunProgram(Client({"image", "ls", "--format", "{{.Repository}}:{{.Tag}}"}),
                                 Deadline::After(kAskTime));
    images = ImagesToTry(NonEmptyLines(list ? list->out : ""));
  }
  return CheckByContainer(images, !options_.image.empty(), [this](const std::string& image) {
    const std::string name = CheckName();
    std::vector<std::string> words = {"run",          "--rm",       "--name",       name,
                                      "--network",    "none",       "--log-driver", "none",
                                      "--entrypoint", kProofProgram};
    if (options_.image.empty()) words.insert(words.end(), {"--pull", "never"});
    if (!options_.make_default) words.insert(words.end(), {"--runtime", options_.name});
    words.push_back(image);
    words.insert(words.end(), kProofArguments.begin(), kProofArguments.end());
    auto result = RunProgram(Client(words), Deadline::After(kContainerTime));
    // The client that was killed has left it behind.
    if (!result) (void)RunProgram(Client({"rm", "-f", name}), Deadline::After(kAskTime));
    return result;
  });
}

std::vector<std::string> DockerFrontEnd::Notes() const {
  std::vector<std::string> notes;
  if (major_ == 0 && !options_.undo) {
    notes.emplace_back(
        "the version of Docker is not known: the entry is one that all versions "
        "read");
  }
  if (options_.undo) {
    notes.push_back(
        fmt::format("containers that were made with the runtime \"{}\" do not start "
                    "any more without it",
                    options_.name));
  }
  return notes;
}

}  // namespace

std::unique_ptr<FrontEnd> MakeDocker(const SetupOptions& options, const KataPrograms& programs) {
  return std::make_unique<DockerFrontEnd>(options, programs);
}

}  // namespace kata::cli::setup
