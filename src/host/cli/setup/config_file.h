// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/config_file.h - files of other programs, changed so that they are whole at any moment.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::cli::setup {

struct ConfigFile {
  // What is read and replaced: behind every symbolic link of the path that was asked for.
  std::string path;
  std::optional<std::string> text;  // nullopt: there is no such file
};

// Errors  kFailedPrecondition  a link that leads nowhere, or no regular file
//         kOutOfRange          more than a configuration can be
Result<ConfigFile> ReadConfigFile(const std::string& path);

// The directories above `path` that are missing, outermost first.
std::vector<std::string> MissingDirs(const std::string& path);

// Puts `text` there under a temporary name, on the disk, and renames it. Mode and owner are those
// of the file that was there; a new file is root's, with `mode`. Missing directories are made.
Result<void> WriteConfigFile(const std::string& path, std::string_view text, mode_t mode = 0644);

// Where WriteConfigFile of `path` writes, and where a text can be tried beside its file. One
// process at a time writes, so the next one finds what a killed one has left.
std::string TemporaryOf(const std::string& path);
std::string TrialOf(const std::string& path);
void RemoveLeftovers(const std::string& path);

// WriteConfigFile, or the removal of the file where `text` is nullopt.
Result<void> PutConfigFile(const std::string& path, const std::optional<std::string>& text);

}  // namespace kata::cli::setup
