// SPDX-License-Identifier: Apache-2.0
//
// Podman: a drop-in of containers.conf, which every podman reads when it starts.
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "host/cli/host.h"
#include "host/cli/setup/container_check.h"
#include "host/cli/setup/drop_in.h"
#include "host/cli/setup/front_end.h"
#include "host/cli/setup/running_daemon.h"

namespace kata::cli::setup {
namespace {

constexpr char kPodmanFile[] = "/etc/containers/containers.conf.d/50-kata.conf";
constexpr auto kPodmanTime = std::chrono::seconds(60);
constexpr auto kPodmanContainerTime = std::chrono::seconds(300);

class PodmanFrontEnd : public FrontEnd {
 public:
  PodmanFrontEnd(SetupOptions options, KataPrograms programs)
      : options_(std::move(options)), programs_(std::move(programs)) {}

  Result<DetectedFrontEnd> Detect() override {
    DetectedFrontEnd place{
        .about = "podman",
        .path =
            options_.sysroot + (options_.config_file.empty() ? kPodmanFile : options_.config_file)};
    if (!options_.sysroot.empty()) return place;
    program_ = FindDaemonProgram("podman");
    if (program_.empty()) {
      if (options_.undo || !options_.config_file.empty()) return place;
      return Fail(Code::kNotFound,
                  "podman is not installed; install it first, or name the drop-in to write with "
                  "--config-file");
    }
    const auto version = ProgramVersion(program_);
    place.about = fmt::format("podman {}", version ? *version : "of an unknown version");
    return place;
  }

  Result<std::string> Plan(const ConfigFile& file,
                           const std::optional<SetupRecord>& /*record*/) const override {
    return PlanDropIn(file, PodmanDropIn(options_.name, options_.make_default, programs_));
  }

  Result<std::optional<std::string>> Unplan(const std::string& /*text*/,
                                            const SetupRecord& record) const override {
    return record.before;
  }

  Result<void> Prove(const ConfigFile& /*file*/, const std::string& /*text*/) const override {
    return {};
  }

  SetupStep Load(const std::optional<std::string>& text) const override;
  SetupStep Check() const override;

  std::vector<std::string> Notes() const override {
    if (!options_.make_default || options_.undo) return {};
    return {
        "the drop-in is read for users without root as well, whose containers cannot use the "
        "runtime: they need another one in their ~/.config/containers/containers.conf, or "
        "--runtime"};
  }

 private:
  // What `podman info` says of the runtime; "" when it says nothing.
  std::string Info(const std::vector<std::string>& flags, const char* field) const {
    std::vector<std::string> argv = {program_};
    argv.insert(argv.end(), flags.begin(), flags.end());
    argv.insert(argv.end(),
                {"info", "--format", fmt::format("{{{{.Host.OCIRuntime.{}}}}}", field)});
    const auto result = RunProgram(argv, Deadline::After(kPodmanTime));
    if (!result || result->status != 0) return "";
    const auto lines = NonEmptyLines(result->out);
    return lines.empty() ? "" : lines.front();
  }

  SetupOptions options_;
  KataPrograms programs_;
  std::string program_;
};

SetupStep PodmanFrontEnd::Load(const std::optional<std::string>& text) const {
  SetupStep step{.name = "load", .detail = "podman reads it whenever it starts"};
  if (program_.empty() || !text || !text->starts_with(kDropInMark)) return step;
  const std::string path = Info({"--runtime", options_.name}, "Path");
  const std::string by_default = options_.make_default ? Info({}, "Name") : options_.name;
  if (path == programs_.runtime && by_default == options_.name) {
    step.detail = fmt::format("podman knows the runtime \"{}\"{}", options_.name,
                              options_.make_default ? " as its default" : "");
    return step;
  }
  step.outcome = SetupStep::Outcome::kFailed;
  step.detail = path != programs_.runtime
                    ? fmt::format("podman takes \"{}\" for the runtime \"{}\"", path, options_.name)
                    : fmt::format("podman's default is still \"{}\"", by_default);
  step.remedy =
      "look for [engine] in files that are read later, and at CONTAINERS_CONF: podman info";
  return step;
}

SetupStep PodmanFrontEnd::Check() const {
  if (program_.empty()) {
    return {.name = "check",
            .outcome = SetupStep::Outcome::kSkipped,
            .detail = "no container was run: there is no podman here"};
  }
  std::vector<std::string> images = {options_.image};
  if (options_.image.empty()) {
    const auto list = RunProgram({program_, "images", "--format", "{{.Repository}}:{{.Tag}}"},
                                 Deadline::After(kPodmanTime));
    images = ImagesToTry(NonEmptyLines(list ? list->out : ""));
  }
  return CheckByContainer(images, !options_.image.empty(), [this](const std::string& image) {
    const std::string name = CheckName();
    std::vector<std::string> argv = {program_};
    if (!options_.make_default) argv.insert(argv.end(), {"--runtime", options_.name});
    argv.insert(argv.end(),
                {"run", "--rm", "--name", name, "--network", "none", "--entrypoint", kProofProgram,
                 options_.image.empty() ? "--pull=never" : "--pull=missing", image});
    argv.insert(argv.end(), kProofArguments.begin(), kProofArguments.end());
    auto result = RunProgram(argv, Deadline::After(kPodmanContainerTime));
    if (!result) {
      (void)RunProgram({program_, "rm", "-f", "-t", "0", name}, Deadline::After(kPodmanTime));
    }
    return result;
  });
}

}  // namespace

std::unique_ptr<FrontEnd> MakePodman(const SetupOptions& options, const KataPrograms& programs) {
  return std::make_unique<PodmanFrontEnd>(options, programs);
}

}  // namespace kata::cli::setup
