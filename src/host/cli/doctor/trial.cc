// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/trial.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "host/cli/doctor/probe.h"
#include "host/cli/doctor/step.h"
#include "host/cli/doctor/trial_bundle.h"
#include "host/cli/doctor/trial_network.h"
#include "host/factory/template_store.h"
#include "host/record/timing.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace kata::cli::doctor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using TrialClock = std::chrono::steady_clock;

constexpr auto kCleanUpTime = seconds(90);
constexpr int kExecs = 3;
constexpr size_t kMostLog = 16 << 10;

bool LockAtOnce(int fd) { return ::flock(fd, LOCK_EX | LOCK_NB) == 0; }

double MillisSince(TrialClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(TrialClock::now() - begin).count();
}

std::string LastLines(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text.size() > kMostLog ? text.substr(text.size() - kMostLog) : text;
}

// The directory of one trial, locked by the process that works in it.
class TrialDirectory {
 public:
  static Result<TrialDirectory> Make(const std::string& root) {
    KATA_TRY(sys::MakeDirs(root, 0700));
    std::string path = root + "/XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return FailErrno("mkdtemp", path);
    // Removed with all in it if that is all that comes of it.
    auto lock = sys::Open(path + "/lock", O_RDWR | O_CREAT, 0600);
    if (!lock || !LockAtOnce(lock->get())) {
      (void)sys::RemoveTree(path);
      return Fail(Code::kUnavailable, fmt::format("{}/lock cannot be locked", path));
    }
    return TrialDirectory(std::move(path), *std::move(lock));
  }
  // Nothing where somebody works in it.
  static Result<TrialDirectory> Enter(const std::string& path) {
    sys::UniqueFd lock = KATA_TRY(sys::Open(path + "/lock", O_RDWR));
    if (!LockAtOnce(lock.get())) return FailErrno("flock", path);
    return TrialDirectory(path, std::move(lock));
  }

  const std::string& path() const { return path_; }
  std::string state() const { return path_ + "/state"; }

 private:
  TrialDirectory(std::string path, sys::UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  sys::UniqueFd lock_;
};

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), ::closedir);
  while (const dirent* entry = stream ? ::readdir(stream.get()) : nullptr) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

sys::Command RuntimeCommand(const TrialOptions& options, const TrialDirectory& directory,
                            std::vector<std::string> words) {
  sys::Command command;
  command.argv = {options.program, "--root", directory.state(), "--log",
                  directory.path() + "/runtime.log"};
  if (!options.config.empty())
    command.argv.insert(command.argv.end(), {"--config", options.config});
  command.argv.insert(command.argv.end(), words.begin(), words.end());
  return command;
}

// Removes the container and waits until nothing of it is there; then the directory. Not to be
// cancelled.
void CleanUp(const TrialOptions& options, const TrialDirectory& directory, const std::string& root,
             Trial* trial) {
  const Deadline deadline = Deadline::After(kCleanUpTime);
  for (const std::string& id : NamesIn(directory.state())) {
    std::string problem;
    const std::string state = directory.state() + "/" + id;
    // A creation that was cut off is undone by others, too: what they leave is then removed here.
    for (int attempt = 0; attempt < 3 && sys::Exists(state); ++attempt) {
      const auto done =
          RunStep(RuntimeCommand(options, directory, {"delete", "--force", id}), deadline, -1);
      if (!done) {
        problem = done.error().message();
      } else if (!done->status.Success()) {
        problem = LastLines(done->errors);
      }
      if (sys::Exists(state)) std::this_thread::sleep_for(milliseconds(200));
    }
    if (sys::Exists(state)) {
      trial->left.push_back(fmt::format(
          "container {}: {}; remove it with {} --root {} delete --force {}", id,
          problem.empty() ? "it is still there" : problem, options.program, directory.state(), id));
      return;
    }
  }
  if (auto removed = sys::RemoveTree(directory.path()); !removed) {
    trial->left.push_back(removed.error().message());
  }
  // Only when it is empty.
  (void)::rmdir(root.c_str());
}

class Attempt {
 public:
  Attempt(const TrialOptions& options, const TrialDirectory& directory, Trial* trial)
      : options_(options),
        directory_(directory),
        trial_(*trial),
        id_(fmt::format("doctor-{}", ::getpid())) {}

  // Every step; the error is in the last phase.
  void Run() {
    MakeTemplate();
    if (trial_.cancelled) return;
    MeasureHost();
    if (!MakeNetwork() || !Create() || !StartIt()) return;
    SplitCreation();
    if (!Exec() || !MeasurePackets() || !MeasureFiles() || !MeasureGuest()) return;
    End();
  }

  // Keeps the shim's log by a second name: a creation that fails removes the first.
  void KeepLog() {
    (void)!::link((directory_.state() + "/" + id_ + "/log").c_str(), KeptLog().c_str());
  }
  std::string KeptLog() const { return directory_.path() + "/shim.log"; }

 private:
  // Runs `work` as a phase; its error is the phase's.
  bool Try(const std::string& name, const std::function<Result<void>()>& work) {
    if (options_.progress) options_.progress(name);
    const auto begin = TrialClock::now();
    const auto done = work();
    Phase phase{.name = name, .millis = MillisSince(begin)};
    if (!done) {
      if (done.error().code() == Code::kCancelled) {
        trial_.cancelled = true;
        return false;
      }
      phase.error = done.error().message();
    }
    trial_.phases.push_back(std::move(phase));
    return done.has_value();
  }

  // What a command printed, or what it complained about.
  Result<std::string> RunCommand(sys::Command command) {
    const StepOutcome done = KATA_TRY(
        RunStep(std::move(command), options_.deadline, options_.cancel, [this] { KeepLog(); }));
    if (done.status.Success()) return done.output;
    std::string said = LastLines(done.errors);
    return Fail(Code::kInternal, said.empty() ? done.status.Describe() : std::move(said));
  }
  Result<std::string> Runtime(std::vector<std::string> words) {
    return RunCommand(RuntimeCommand(options_, directory_, std::move(words)));
  }
  // The program in the container; its numbers.
  Result<std::map<std::string, double>> InContainer(std::vector<std::string> words) {
    words.insert(words.begin(), {"exec", id_, kProbePath, kProbeWord});
    return ParseProbe(KATA_TRY(Runtime(std::move(words))));
  }

  std::set<std::string> Templates() const {
    std::set<std::string> names;
    const auto list = factory::TemplateStore(options_.template_path).List();
    if (!list) return names;
    for (const factory::TemplateInfo& info : *list) names.insert(info.name);
    return names;
  }

  // In front of the machine: else its start would leave that to a process in the background, which
  // this one would not see the end of.
  void MakeTemplate() {
    if (options_.template_path.empty()) return;
    const auto before = Templates();
    Try("template", [this]() -> Result<void> {
      KATA_TRY(Runtime({"factory", "init"}));
      return {};
    });
    trial_.made_template = Templates() != before;
  }

  void MeasureHost() {
    sys::Command command;
    command.argv = {options_.probe, kProbeWord, "processor", "200"};
    const auto said = RunCommand(std::move(command));
    if (said) trial_.figures.host_rounds = Number(ParseProbe(*said), "rounds_per_second");
  }

  bool MakeNetwork() {
    return Try("network", [this]() -> Result<void> {
      network_ = KATA_TRY(TrialNetwork::Make());
      return MakeTrialBundle(directory_.path() + "/bundle", options_.probe, network_->path());
    });
  }

  bool Create() {
    return Try("create", [this]() -> Result<void> {
      KATA_TRY(Runtime({"create", "--bundle", directory_.path() + "/bundle", id_}));
      return {};
    });
  }

  bool StartIt() {
    return Try("start", [this]() -> Result<void> {
      KATA_TRY(Runtime({"start", id_}));
      return {};
    });
  }

  // The creation is a machine's and a container's; only the shim knows how much of it was what.
  void SplitCreation() {
    const auto timing = sandbox::LoadTiming(id_);
    if (!timing) return;
    trial_.began_from = timing->from;
    double machine = 0;
    for (const sandbox::Phase& phase : timing->booted) machine += phase.millis;
    const auto create = std::find_if(trial_.phases.begin(), trial_.phases.end(),
                                     [](const Phase& phase) { return phase.name == "create"; });
    if (create == trial_.phases.end()) return;
    const double container = std::max(0.0, create->millis - machine);
    *create = {.name = "container", .millis = container};
    trial_.phases.insert(create, {.name = "machine", .millis = machine});
  }

  bool Exec() {
    std::vector<double> millis;
    const bool done = Try("exec", [&]() -> Result<void> {
      for (int n = 0; n < kExecs; ++n) {
        const auto begin = TrialClock::now();
        const auto said = KATA_TRY(InContainer({"hello"}));
        if (!said.contains("hello")) return Fail(Code::kInternal, "exec: its output did not come");
        millis.push_back(MillisSince(begin));
      }
      return {};
    });
    if (!done) return false;
    std::sort(millis.begin(), millis.end());
    trial_.phases.back().millis = millis[millis.size() / 2];
    return true;
  }

  bool MeasurePackets() {
    return Try("packets", [this]() -> Result<void> {
      const auto said = KATA_TRY(InContainer(
          {"network", TrialNetwork::kPeerAddress, std::to_string(network_->port()), "20"}));
      trial_.figures.packets_sent = Number(said, "sent");
      trial_.figures.packets_received = Number(said, "received");
      trial_.figures.round_trip_us = Number(said, "median_us");
      return {};
    });
  }

  bool MeasureFiles() {
    return Try("files", [this]() -> Result<void> {
      const auto said = KATA_TRY(InContainer({"files", fmt::format("{}/file", kSharedPath), "8"}));
      trial_.figures.write_mib_per_second = Number(said, "write_mib_per_second");
      trial_.figures.read_mib_per_second = Number(said, "read_mib_per_second");
      return {};
    });
  }

  bool MeasureGuest() {
    return Try("processor", [this]() -> Result<void> {
      const auto said = KATA_TRY(InContainer({"processor", "500"}));
      trial_.figures.guest_rounds = Number(said, "rounds_per_second");
      return {};
    });
  }

  void End() {
    Try("end", [this]() -> Result<void> {
      KATA_TRY(Runtime({"delete", "--force", id_}));
      return {};
    });
  }

  static std::optional<double> Number(const std::map<std::string, double>& numbers,
                                      const std::string& name) {
    const auto found = numbers.find(name);
    return found == numbers.end() ? std::nullopt : std::optional(found->second);
  }

  const TrialOptions& options_;
  const TrialDirectory& directory_;
  Trial& trial_;
  const std::string id_;
  std::unique_ptr<TrialNetwork> network_;
};

}  // namespace

Result<Trial> RunTrial(const TrialOptions& options, const std::string& root) {
  Trial trial;
  for (const std::string& name : NamesIn(root)) {
    // Of a doctor that was killed.
    if (const auto abandoned = TrialDirectory::Enter(fmt::format("{}/{}", root, name))) {
      CleanUp(options, *abandoned, root, &trial);
    }
  }
  const TrialDirectory directory = KATA_TRY(TrialDirectory::Make(root));
  {
    Attempt attempt(options, directory, &trial);
    attempt.Run();
    attempt.KeepLog();
    if (const auto log = sys::ReadFile(attempt.KeptLog())) trial.log_tail = LastLines(*log);
    if (options.progress) options.progress("cleaning up");
    // The network is still there: the machine is in it.
    CleanUp(options, directory, root, &trial);
  }
  return trial;
}

}  // namespace kata::cli::doctor
