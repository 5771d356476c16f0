// SPDX-License-Identifier: Apache-2.0
//
// cli/command.h - what the commands of kata-runtime share. Each has a file of its own, with its
// options, help and examples.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "host/cli/finding.h"
#include "host/config/load.h"

namespace kata::cli {

// Options in front of the command.
struct Globals {
  std::string config;  // path of configuration.toml; empty: looked up
  std::string root = "/run/kata-runtime";
  std::string log;
  std::string log_format = "text";
  std::string log_level = "warn";
  bool debug = false;
  // Accepted and without meaning.
  std::string rootless;
  bool ignored = false;
};

// Adds a command to `app`. Its callback stores the program's exit status in `*status`. The
// references must outlive the parsing.
void AddVersion(CLI::App& app, int* status);
void AddCheck(CLI::App& app, const Globals& globals, int* status);
void AddEnv(CLI::App& app, const Globals& globals, int* status);
void AddDoctor(CLI::App& app, const Globals& globals, int* status);
void AddFactory(CLI::App& app, const Globals& globals, int* status);
void AddLayers(CLI::App& app, const Globals& globals, int* status);
void AddSetup(CLI::App& app, int* status);
void AddSnapshot(CLI::App& app, const Globals& globals, int* status);

// "kata-runtime version 0.1.0" and what it implements, one line each, as `--version` prints it.
std::string VersionText();

// The configuration that containers started now would get. Warnings are logged.
Result<config::Loaded> LoadConfig(const Globals& globals);

// All that `check` looks at. What holds of the host when the configuration cannot be read is still
// worth knowing.
std::vector<Finding> AllChecks(const Globals& globals);

// Writes to standard output; returns the exit status, 1 when that fails.
int Print(std::string_view text);
int PrintJson(const nlohmann::ordered_json& json);
// "kata-runtime: <message>" on standard error; returns 1.
int PrintError(const Error& error);

// Has `command` do `work`, which gives the exit status or an error to print.
void Run(CLI::App* command, int* status, std::function<Result<int>()> work);

// "2026-02-28 13:05:00", of this host.
std::string When(int64_t seconds_since_1970);

}  // namespace kata::cli
