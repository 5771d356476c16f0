// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/setup.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/setup/config_file.h"
#include "host/cli/setup/setup_record.h"
#include "host/cli/setup/text_diff.h"

namespace kata::cli::setup {
namespace {

using Outcome = SetupStep::Outcome;

std::string_view OutcomeWord(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDone:
      return "done";
    case Outcome::kSkipped:
      return "skipped";
    case Outcome::kFailed:
      break;
  }
  return "failed";
}

std::string StepText(const SetupStep& step) {
  const std::string mark =
      step.outcome == Outcome::kDone ? "" : fmt::format(" {}", OutcomeWord(step.outcome));
  std::string text = fmt::format("{:<8}{}{}{}\n", step.name, mark.empty() ? "" : mark.substr(1),
                                 mark.empty() ? "" : ": ", step.detail);
  if (!step.remedy.empty()) text += fmt::format("{:8}to do: {}\n", "", step.remedy);
  return text;
}

std::string UndoCommand(const SetupReport& report, const SetupOptions& options) {
  std::string command = fmt::format("kata-runtime setup {} --undo", report.front_end);
  if (!options.config_file.empty()) command += " --config-file " + options.config_file;
  if (!options.sysroot.empty()) command += " --sysroot " + options.sysroot;
  return command;
}

// One run of the command: what it knows, and what it has told.
class SetupRun {
 public:
  SetupRun(const std::string& word, SetupOptions options, const KataPrograms& programs,
           const SetupListener& say)
      : word_(word), options_(std::move(options)), programs_(programs), say_(say) {
    report_.front_end = word;
    report_.dry_run = options_.dry_run;
    report_.undo = options_.undo;
  }

  Result<SetupReport> Do() {
    if (!options_.dry_run && options_.sysroot.empty() && ::geteuid() != 0) {
      return Fail(Code::kPermissionDenied,
                  fmt::format("setup {}: only root can change its configuration, and only root's "
                              "engines can use kata; run it with sudo",
                              word_));
    }
    SetupRecords records = options_.dry_run ? SetupRecords::OpenToRead(options_.sysroot)
                                            : KATA_TRY(SetupRecords::Open(options_.sysroot));
    record_ = KATA_TRY(records.Read(word_));
    KATA_TRY(options_.undo ? Undo(records) : Set(records));
    for (const std::string& note : notes_) Note(note);
    return std::move(report_);
  }

 private:
  void Step(SetupStep step) {
    say_(StepText(step));
    report_.steps.push_back(std::move(step));
  }
  void Note(const std::string& note) {
    say_(fmt::format("{:<8}{}\n", "note", note));
    report_.notes.push_back(note);
  }
  void Heading(const DetectedFrontEnd& place, const std::string& path) {
    report_.about = place.about;
    report_.path = path;
    say_(fmt::format("{}: {}\n", place.about, path));
  }
  void Diff(const std::optional<std::string>& before, const std::optional<std::string>& after) {
    report_.diff = UnifiedDiff(report_.path, before, after);
    if (!report_.diff.empty()) say_("\n" + report_.diff + "\n");
  }

  Result<void> Set(SetupRecords& records) {
    // Who asked for a default once has to undo it; the command without --default does not.
    if (record_ && record_->name == options_.name && record_->is_default) {
      options_.make_default = true;
    }
    auto front_end = MakeFrontEnd(word_, options_, programs_);
    const DetectedFrontEnd place = KATA_TRY(front_end->Detect());
    const ConfigFile file = KATA_TRY(ReadConfigFile(place.path));
    Heading(place, file.path);
    if (record_ && (record_->path != file.path || record_->name != options_.name)) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("setup {} has put a runtime \"{}\" into {}; undo that first: "
                              "kata-runtime setup {} --undo",
                              word_, record_->name, record_->path, word_));
    }
    const std::string planned = KATA_TRY(front_end->Plan(file, record_));
    notes_ = front_end->Notes();
    if (file.text == planned) return NothingToSet(*front_end, file);
    Diff(file.text, planned);
    KATA_TRY(front_end->Prove(file, planned));
    if (options_.dry_run) {
      Step({.name = "write", .outcome = Outcome::kSkipped, .detail = "this was a dry run"});
      return {};
    }
    KATA_TRY(WriteRecorded(records, *front_end, file, planned));
    Step({.name = "write", .detail = file.path});
    return Use(records, *front_end, planned);
  }

  Result<void> NothingToSet(const FrontEnd& front_end, const ConfigFile& file) {
    Step({.name = "write",
          .outcome = Outcome::kSkipped,
          .detail = fmt::format("nothing to do: {} has it already", file.path)});
    if (options_.dry_run || !options_.sysroot.empty()) return {};
    Step(front_end.Load(file.text));
    if (!options_.image.empty() && report_.ok()) Step(front_end.Check());
    return {};
  }

  Result<void> WriteRecorded(SetupRecords& records, const FrontEnd& front_end,
                             const ConfigFile& file, const std::string& planned) {
    SetupRecord record{.path = file.path,
                       .name = options_.name,
                       .is_default = options_.make_default,
                       .before = file.text,
                       .written = planned,
                       .made_dirs = MissingDirs(file.path)};
    if (record_) {
      record.made_dirs = record_->made_dirs;
      // What was there before the first time; without what others have not seen since.
      record.before = record_->IsOurs(file.text) || !file.text
                          ? record_->before
                          : KATA_TRY(front_end.Unplan(*file.text, *record_));
    }
    KATA_TRY(records.Write(word_, record));
    auto written = Replace(file.path, file.text, planned);
    if (written) {
      record_ = std::move(record);
      return {};
    }
    (void)(record_ ? records.Write(word_, *record_) : records.Remove(word_));
    for (auto dir = record.made_dirs.rbegin(); dir != record.made_dirs.rend(); ++dir) {
      if (!record_) ::rmdir(dir->c_str());
    }
    return written;
  }

  // What was shown is what is replaced.
  static Result<void> Replace(const std::string& path, const std::optional<std::string>& shown,
                              const std::optional<std::string>& text) {
    const ConfigFile now = KATA_TRY(ReadConfigFile(path));
    if (now.text != shown) {
      return Fail(
          Code::kAborted,
          fmt::format("write \"{}\": somebody has changed it meanwhile; run it again", path));
    }
    return PutConfigFile(path, text);
  }

  // A front end that cannot use what was written gets back what it had.
  Result<void> Use(SetupRecords& records, const FrontEnd& front_end, const std::string& planned) {
    if (options_.sysroot.empty()) {
      Step(front_end.Load(planned));
      if (report_.ok() && !options_.no_check) Step(front_end.Check());
    } else {
      Step({.name = "load",
            .outcome = Outcome::kSkipped,
            .detail = fmt::format("what runs here is not what {} is for", options_.sysroot)});
    }
    if (!report_.ok()) {
      KATA_TRY(PutBack(records, front_end));
      Step({.name = "undo", .detail = fmt::format("{} is as it was", record_->path)});
      return {};
    }
    Step({.name = "undo", .detail = fmt::format("with: {}", UndoCommand(report_, options_))});
    return {};
  }

  Result<void> Undo(SetupRecords& records) {
    if (!record_) {
      report_.about = word_;
      Step({.name = "undo",
            .outcome = Outcome::kSkipped,
            .detail = fmt::format("nothing to do: setup {} has changed nothing here", word_)});
      return options_.dry_run ? Result<void>() : records.Remove(word_);
    }
    options_.name = record_->name;
    options_.make_default = record_->is_default;
    if (options_.sysroot.empty()) {
      options_.config_file = record_->path;
    }
    auto front_end = MakeFrontEnd(word_, options_, programs_);
    const DetectedFrontEnd place = KATA_TRY(front_end->Detect());
    Heading(place, record_->path);
    notes_ = front_end->Notes();
    const ConfigFile file = KATA_TRY(ReadConfigFile(record_->path));
    const auto rest = KATA_TRY(WhatStays(*front_end, file));
    Diff(file.text, rest);
    if (options_.dry_run) {
      Step({.name = "undo", .outcome = Outcome::kSkipped, .detail = "this was a dry run"});
      return {};
    }
    KATA_TRY(PutBack(records, *front_end));
    Step({.name = "undo",
          .detail = rest ? fmt::format("{} is without it", record_->path)
                         : fmt::format("{} is removed", record_->path)});
    return {};
  }

  Result<std::optional<std::string>> WhatStays(const FrontEnd& front_end,
                                               const ConfigFile& file) const {
    if (!file.text) return std::nullopt;
    if (record_->IsOurs(file.text) || file.text == record_->before) return record_->before;
    return front_end.Unplan(*file.text, *record_);
  }

  Result<void> PutBack(SetupRecords& records, const FrontEnd& front_end) {
    ConfigFile file = KATA_TRY(ReadConfigFile(record_->path));
    const auto rest = KATA_TRY(WhatStays(front_end, file));
    if (file.text != rest) {
      if (const auto interim = options_.sysroot.empty() ? front_end.Interim(rest) : std::nullopt) {
        record_->interim = interim;
        KATA_TRY(records.Write(word_, *record_));
        KATA_TRY(Replace(record_->path, file.text, interim));
        Step(front_end.Load(interim));
        file.text = interim;
      }
      KATA_TRY(Replace(record_->path, file.text, rest));
    }
    RemoveLeftovers(record_->path);
    KATA_TRY(records.Remove(word_));
    for (auto dir = record_->made_dirs.rbegin(); dir != record_->made_dirs.rend(); ++dir) {
      ::rmdir(dir->c_str());
    }
    if (options_.sysroot.empty() && !record_->interim) Step(front_end.Load(rest));
    return {};
  }

  const std::string& word_;
  SetupOptions options_;
  const KataPrograms& programs_;
  const SetupListener& say_;
  SetupReport report_;
  std::optional<SetupRecord> record_;
  std::vector<std::string> notes_;
};

}  // namespace

bool SetupReport::ok() const {
  return std::none_of(steps.begin(), steps.end(), [](const SetupStep& step) {
    return step.outcome == SetupStep::Outcome::kFailed;
  });
}

std::unique_ptr<FrontEnd> MakeFrontEnd(std::string_view word, const SetupOptions& options,
                                       const KataPrograms& programs) {
  if (word == "containerd") return MakeContainerd(options, programs);
  if (word == "podman") return MakePodman(options, programs);
  if (word == "cri-o") return MakeCrio(options, programs);
  return MakeDocker(options, programs);
}

Result<SetupReport> RunSetup(const std::string& word, SetupOptions options,
                             const KataPrograms& programs, const SetupListener& say) {
  return SetupRun(word, std::move(options), programs, say).Do();
}

std::string RenderSetupJson(const SetupReport& report) {
  using ReportJson = nlohmann::ordered_json;
  ReportJson steps = ReportJson::array();
  for (const SetupStep& step : report.steps) {
    steps.push_back({{"name", step.name},
                     {"outcome", OutcomeWord(step.outcome)},
                     {"detail", step.detail},
                     {"remedy", step.remedy}});
  }
  const ReportJson json{{"ok", report.ok()},     {"front_end", report.front_end},
                        {"about", report.about}, {"file", report.path},
                        {"undo", report.undo},   {"dry_run", report.dry_run},
                        {"diff", report.diff},   {"steps", steps},
                        {"notes", report.notes}};
  return json.dump(2, ' ', false, ReportJson::error_handler_t::replace) + "\n";
}

}  // namespace kata::cli::setup
