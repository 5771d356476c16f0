// SPDX-License-Identifier: Apache-2.0
#include "host/storage/virtiofsd_features.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "sys/process.h"

namespace kata::storage {
namespace {

constexpr auto kHelpTime = std::chrono::seconds(5);
constexpr size_t kMostShown = 300;
constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_";

std::string_view TakeWord(std::string_view* line) {
  line->remove_prefix(std::min(line->find_first_not_of(" ,"), line->size()));
  const size_t end = std::min(line->find_first_of(" ,"), line->size());
  const std::string_view word = line->substr(0, end);
  line->remove_prefix(end);
  return word;
}

std::string_view NameAtStart(std::string_view word) {
  return word.substr(0, word.find_first_not_of(kNameCharacters));
}

// "posix_acl/no_posix_acl", "cache=<mode>": what may stand after -o.
void AddMountOptions(std::string_view word, VirtiofsdFeatures::Names* names) {
  while (!word.empty()) {
    const size_t end = std::min(word.find_first_of("|/"), word.size());
    if (const std::string_view name = NameAtStart(word.substr(0, end)); !name.empty()) {
      names->emplace(name);
    }
    word.remove_prefix(std::min(end + 1, word.size()));
  }
}

// Options stand at a line's begin, all spellings of one before its text: "-d   -o debug enable...".
void ReadLine(std::string_view line, VirtiofsdFeatures* features) {
  for (;;) {
    const std::string_view word = TakeWord(&line);
    if (word == "-o") {
      AddMountOptions(TakeWord(&line), &features->mount_options);
    } else if (word.starts_with("--")) {
      if (const std::string_view name = NameAtStart(word.substr(2)); !name.empty()) {
        features->options.emplace(name);
      }
    } else if (word.size() != 2 || word[0] != '-') {
      return;
    }
  }
}

}  // namespace

std::string_view VirtiofsdFeatures::title() const {
  return kind == Kind::kC ? "written in C" : "written in Rust";
}

Result<VirtiofsdFeatures> ParseVirtiofsdHelp(std::string_view help) {
  VirtiofsdFeatures features;
  for (std::string_view rest = help; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    ReadLine(rest.substr(0, end), &features);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  features.metadata = help.find("metadata") != help.npos;
  features.kind =
      features.Has("shared-dir") ? VirtiofsdFeatures::Kind::kRust : VirtiofsdFeatures::Kind::kC;
  if (features.Has("fd") && (features.Has("shared-dir") || features.HasMountOption("source"))) {
    return features;
  }
  const size_t end = std::min(help.find_last_not_of(" \n") + 1, kMostShown);
  return Fail(Code::kFailedPrecondition,
              fmt::format("not a virtiofsd: its --help says \"{}\"", help.substr(0, end)));
}

Result<VirtiofsdFeatures> AskVirtiofsd(const std::string& program, Deadline deadline) {
  sys::Command command;
  command.argv = {program, "--help"};
  const sys::CommandOutput result = KATA_TRY(
      sys::RunAndCollect(std::move(command), deadline.Earlier(Deadline::After(kHelpTime))));
  auto features = ParseVirtiofsdHelp(result.output);
  if (features) return features;
  if (result.status.Success()) return std::unexpected(std::move(features).error().Within(program));
  return Fail(Code::kFailedPrecondition,
              fmt::format("{} --help ended with {}: {}", program, result.status.Describe(),
                          result.output.substr(0, kMostShown)));
}

}  // namespace kata::storage
