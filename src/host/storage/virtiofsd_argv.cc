// SPDX-License-Identifier: Apache-2.0
#include "host/storage/virtiofsd_argv.h"

#include <algorithm>
#include <ranges>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace kata::storage {
namespace {

using Words = std::vector<std::string>;

std::string Replaced(std::string_view name, char from, char to) {
  std::string text(name);
  std::ranges::replace(text, from, to);
  return text;
}

// "cache" and "=never" of "cache=never".
std::pair<std::string_view, std::string_view> Split(std::string_view word) {
  const size_t equals = std::min(word.find('='), word.size());
  return {word.substr(0, equals), word.substr(equals)};
}

// A long option in this daemon's words.
void AddOption(std::string_view option, const VirtiofsdFeatures& features, Words* words) {
  const auto [name, value] = Split(option.substr(2));
  const std::string mount_option = Replaced(name, '-', '_');
  if (features.Has(name) || !features.HasMountOption(mount_option)) {
    words->emplace_back(option);
    return;
  }
  const bool never = mount_option == "cache" && value == "=never";
  words->insert(words->end(), {"-o", mount_option + (never ? "=none" : std::string(value))});
}

// What followed an -o.
void AddMountOptions(std::string_view list, const VirtiofsdFeatures& features, Words* words) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view word = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    const auto [name, value] = Split(word);
    const std::string option = Replaced(name, '_', '-');
    if (features.HasMountOption(name) || !features.Has(option)) {
      words->insert(words->end(), {"-o", std::string(word)});
    } else {
      const bool none = option == "cache" && value == "=none";
      words->push_back(fmt::format("--{}{}", option, none ? "=never" : value));
    }
  }
}

// Letters that are options without a value.
constexpr std::string_view kFlags = "dfhV";

// What decides which directory is served to whom is nobody else's: a pod may be allowed to add
// words.
constexpr std::string_view kOwnOptions[] = {"shared-dir", "source",      "fd",
                                            "socket",     "socket-path", "socket-group"};

// `words` as they would stand on the line, each -o before one single option. The daemon in C takes
// backslashes out of a name before it looks at it.
Result<void> CheckExtra(const Words& words) {
  for (std::string_view word : words) {
    if (word.find('\\') != word.npos) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("virtio_fs_extra_args: a backslash in \"{}\"; take it out", word));
    }
    if (word.starts_with("--")) word.remove_prefix(2);
    // What follows an empty -o is a list that was not taken apart.
    for (const auto part : std::views::split(word, ',')) {
      const std::string name = Replaced(Split(std::string_view(part)).first, '_', '-');
      if (std::ranges::find(kOwnOptions, name) == std::end(kOwnOptions)) continue;
      return Fail(
          Code::kInvalidArgument,
          fmt::format("virtio_fs_extra_args: {} is kata-cpp's own to say; take it out", name));
    }
  }
  return {};
}

void AddExtra(const Words& extra, const VirtiofsdFeatures& features, Words* words) {
  for (size_t i = 0; i < extra.size(); ++i) {
    const std::string_view word = extra[i];
    if (word.starts_with("--")) {
      AddOption(word, features, words);
      continue;
    }
    // Also "-oxattr", and "-dosource=/", which is -d and -o.
    const size_t o = word.starts_with('-') ? word.find_first_not_of(kFlags, 1) : word.npos;
    if (o == word.npos || word[o] != 'o') {
      words->emplace_back(word);
      continue;
    }
    if (o > 1) words->emplace_back(word.substr(0, o));
    std::string_view list = word.substr(o + 1);
    if (list.empty() && i + 1 < extra.size()) list = extra[++i];
    if (list.starts_with('=')) list.remove_prefix(1);
    if (list.empty()) words->emplace_back("-o");
    AddMountOptions(list, features, words);
  }
}

// The daemon in Rust takes the option once only, that in C the last one: what an extra word says
// comes before ours in one list.
void KeepSysAdmin(const VirtiofsdFeatures& features, Words* words) {
  constexpr std::string_view kOption = "modcaps=";
  constexpr std::string_view kCapability = "+sys_admin";
  for (std::string& word : *words | std::views::reverse) {
    const size_t skip = word.starts_with("--") ? 2 : 0;
    if (!std::string_view(word).substr(skip).starts_with(kOption)) continue;
    word.append(":").append(kCapability);
    return;
  }
  AddOption(fmt::format("--{}{}", kOption, kCapability), features, words);
}

Result<std::string> CacheWords(const VirtiofsdSpec& spec, const VirtiofsdFeatures& features) {
  if (spec.cache == "metadata" && !features.metadata) {
    return Fail(Code::kInvalidArgument,
                fmt::format("virtio_fs_cache = \"metadata\": {} is {} and has no such mode; set "
                            "virtio_fs_daemon to the one written in Rust, or another mode",
                            spec.program, features.title()));
  }
  if (spec.cache == "auto" && features.HasMountOption("timeout")) return "always,timeout=0.1";
  return spec.cache;
}

}  // namespace

Result<Words> VirtiofsdArguments(const VirtiofsdSpec& spec, const VirtiofsdFeatures& features,
                                 uint64_t max_files) {
  Words words = {spec.program, "--fd=3"};
  const std::string cache = KATA_TRY(CacheWords(spec, features));
  if (features.kind == VirtiofsdFeatures::Kind::kC) {
    words.insert(words.end(), {"-o", "source=" + spec.shared_directory, "-o",
                               "cache=" + (cache == "never" ? std::string("none") : cache)});
  } else {
    words.insert(words.end(), {"--shared-dir=" + spec.shared_directory, "--cache=" + cache});
    // Its log tells at level info that a VMM came and went, which is no error's explanation.
    if (features.Has("log-level")) words.emplace_back("--log-level=warn");
    // With file handles it would keep CAP_DAC_READ_SEARCH, by which a daemon that has been taken
    // over could open every file of the file systems that it sees a part of.
    if (features.Has("inode-file-handles")) words.emplace_back("--inode-file-handles=never");
  }
  for (const char* option : {"--sandbox=namespace", "--xattr", "--announce-submounts"}) {
    AddOption(option, features, &words);
  }
  // Who takes a request answers it: another thread to wake is a sixth of the time of small files.
  words.insert(words.end(), {"--thread-pool-size=0", fmt::format("--rlimit-nofile={}", max_files)});
  Words extra;
  AddExtra(spec.extra_args, features, &extra);
  KATA_TRY(CheckExtra(extra));
  words.insert(words.end(), extra.begin(), extra.end());
  if (spec.trusted_attributes) KeepSysAdmin(features, &words);
  return words;
}

std::string WhatFollows(const VirtiofsdFeatures& features, std::string_view cache) {
  std::string_view meaning = "the guest keeps nothing";
  if (cache == "always") {
    meaning = "what changes on the host is perhaps never seen";
  } else if (cache == "metadata") {
    meaning = "the guest keeps names and attributes, and no pages";
  } else if (cache == "auto" && features.HasMountOption("timeout")) {
    meaning = "what changes on the host is seen within a tenth of a second";
  } else if (cache == "auto") {
    meaning =
        "what changes on the host is seen within a second, and files are read anew when opened";
  }
  return fmt::format("{}: {}", features.title(), meaning);
}

}  // namespace kata::storage
